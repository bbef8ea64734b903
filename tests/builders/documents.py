"""Builders of test documents: realistic runs and comparisons, equal at every call.

``run()`` is a light run of a few cases; every part can be replaced by naming it. Nothing here is measured.
"""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from benchkit.model import (
    METRICS,
    BaselineReference,
    Case,
    CaseComparison,
    Comparison,
    ConnectionSeries,
    Counts,
    Environment,
    GatewayCount,
    Histogram,
    Iteration,
    Load,
    Machine,
    MetricComparison,
    MetricValues,
    PairedReference,
    PercentileCurve,
    Resources,
    ResourceSeries,
    Run,
    RunStatus,
    Target,
    Timeline,
    TimelinePoint,
    Validity,
    VariantOfRun,
    Verdict,
    needed_samples,
    samples_for,
)

STARTED = datetime(2026, 3, 2, 9, 30, 0, tzinfo=UTC)
RUN_ID = "light_2026-03-02-093000"

HOSTILE_NAMES = (
    "<script>window.hurt=1</script>",
    "</script><img src=x onerror=window.hurt=2>",
    "\"><svg onload='window.hurt=3'>",
    "{{ 7 * 7 }}{% raw %}",
    "emoji 🚀 & <b>bold</b>",
    "‮שלום عالم",
    "line\u2028separator\u2029]]>-->",
)
"""Names with markup and scripts that would run if the page did not escape them."""

COMPARED = ("p50_latency", "requests_per_sec", "p95_latency", "p99_latency", "total_time")


def environment(**load: Any) -> Environment:
    """Return an ordinary environment: 2 cores, own gateway on SQLite; ``load`` replaces values of the load."""
    values: dict[str, Any] = {
        "profile": "light",
        "requests": 100,
        "concurrency": 10,
        "timeout_s": 30,
        "iterations": 3,
        "warmup_requests": 20,
    }
    return Environment(
        machine=Machine(
            cpu_model="Example CPU @ 2.60GHz",
            cores=2,
            memory_mib=7940,
            kernel="Linux 6.1.0",
            python="3.11.2",
            engines={"hey": "0.1.4"},
            toolkit="0.1.0",
            control_score=41.8,
        ),
        target=Target(
            base_url="http://127.0.0.1:4444",
            prefix="/v1",
            origin="local",
            release="1.0.7",
            database="sqlite",
            database_version="3.40.1",
            cache="memory",
            workers=1,
            uptime_s=12.5,
            servers=4,
            tools=104,
            resources=16,
            prompts=6,
            settings={"LOG_LEVEL": "ERROR", "RATE_LIMITING_ENABLED": "false"},
        ),
        load=Load(**(values | load)),
    )


def after(seconds: float) -> datetime:
    """Return the time so many seconds after the run's start."""
    return STARTED + timedelta(seconds=seconds)


def latencies(seed: int, count: int, median_ms: float = 80.0) -> list[float]:
    """Return ``count`` latencies in ms: log-normal, with a stall of about 300 ms every hundred requests."""
    chance = random.Random(seed)
    return [
        round(chance.lognormvariate(math.log(median_ms), 0.25) + (300.0 if number % 100 == 57 else 0.0), 1)
        for number in range(count)
    ]


def percentile(values: list[float], percent: float) -> float:
    """Return the nearest-rank percentile."""
    return sorted(values)[max(0, math.ceil(percent / 100 * len(values)) - 1)]


def figures(values: list[float], sent: int, seconds: float) -> MetricValues:
    """Return all ordinary metrics of successes with these latencies (ms)."""
    return {
        "p50_latency": percentile(values, 50),
        "p95_latency": percentile(values, 95),
        "p99_latency": percentile(values, 99),
        "mean_latency": round(sum(values) / len(values), 2),
        "min_latency": min(values),
        "max_latency": max(values),
        "requests_per_sec": round(len(values) / seconds, 2),
        "total_time": round(seconds, 3),
        "error_rate": round((sent - len(values)) / sent, 6),
    }


def histogram(values: list[float], per_decade: int = 20) -> Histogram:
    """Return counts in bins of equal width on a logarithmic scale."""
    low = math.floor(math.log10(min(values)) * per_decade)
    high = math.floor(math.log10(max(values)) * per_decade) + 1
    edges = [round(10 ** (step / per_decade), 4) for step in range(low, high + 1)]
    counts = [sum(lower <= value < upper for value in values) for lower, upper in pairwise(edges)]
    return Histogram(edges_ms=edges, counts=counts)


def curve(rounds: list[list[float]]) -> PercentileCurve | None:
    """Return the percentile curve of iterations with these latencies, as far as they have enough samples."""
    pooled = [value for values in rounds for value in values]

    def at(values: list[float], wanted: list[float]) -> list[float]:
        return [percentile(values, percent) for percent in wanted if len(values) >= samples_for(percent)]

    grid = [0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 97.5, 99.0, 99.5, 99.9]
    carried = [percent for percent in grid if len(pooled) >= samples_for(percent)]
    if not carried:
        return None
    return PercentileCurve(
        percent=carried, pooled_ms=at(pooled, carried), iterations_ms=[at(values, carried) for values in rounds]
    )


def points(values: list[float], seconds: float, bucket_s: float, failures: int = 0) -> list[TimelinePoint]:
    """Return a timeline with successes spread evenly over ``seconds``; ``failures`` are in the last bucket but one."""
    buckets = max(1, math.ceil(seconds / bucket_s))
    made = []
    for bucket in range(buckets):
        inside = values[bucket * len(values) // buckets : (bucket + 1) * len(values) // buckets]
        made.append(
            TimelinePoint(
                at_s=round(bucket * bucket_s, 3),
                ok=len(inside),
                failed=failures if bucket == max(0, buckets - 2) else 0,
                p50_ms=percentile(inside, 50) if inside else None,
                p95_ms=percentile(inside, 95) if inside else None,
                max_ms=max(inside) if inside else None,
            )
        )
    return made


def case(
    identity: str = "tools/list_limit_50",
    *,
    seed: int = 1,
    requests: int = 100,
    iterations: int = 3,
    median_ms: float = 80.0,
    failures: int = 0,
    bucket_s: float = 0.1,
    **changes: Any,
) -> Case:
    """Return a valid case, measured with 10 concurrent requests; ``failures`` of each iteration are ``http 500``.

    Its first iteration begins at ``started`` (:data:`STARTED`), the next ones 30 s after the end of the one before.
    """
    scenario, _, name = identity.partition("/")
    rounds, pooled, latency, timeline, clock = [], [], [], [], changes.pop("started", STARTED)
    for number in range(iterations):
        values = latencies(seed * 100 + number, requests - failures, median_ms)
        seconds = sum(values) / 10 / 1000
        finished = clock + timedelta(seconds=seconds)
        rounds.append(
            Iteration(
                metrics=figures(values, requests, seconds),
                sent=requests,
                ok=len(values),
                errors={"http 500": failures} if failures else {},
                started=clock,
                finished=finished,
            )
        )
        pooled += values
        latency.append(values)
        timeline.append(points(values, seconds, bucket_s, failures))
        clock = finished + timedelta(seconds=30)
    total = sum((one.finished - one.started).total_seconds() for one in rounds)
    metrics = figures(pooled, requests * iterations, total)
    parts: dict[str, Any] = {
        "id": identity,
        "scenario": scenario,
        "name": name,
        "description": f"What {name} measures",
        "validity": Validity.VALID,
        "resolution_ms": 0.1,
        "metrics": metrics,
        "advisory": [metric for metric in metrics if len(pooled) < needed_samples(METRICS[metric])],
        "iterations": rounds,
        "counts": Counts(sent=requests * iterations, ok=len(pooled)),
        "histogram": histogram(pooled),
        "percentiles": curve(latency),
        "timeline": Timeline(bucket_s=bucket_s, iterations=timeline),
    }
    return Case(**(parts | changes))


def failed_case(
    identity: str,
    reason: str,
    validity: Validity = Validity.INVALID,
    errors: dict[str, int] | None = None,
    sent: int = 300,
) -> Case:
    """Return a case without metrics: its requests were sent (unless ``sent`` is 0), its work was not done."""
    scenario, _, name = identity.partition("/")
    failed = sum((errors or {}).values())
    rounds = [
        Iteration(
            metrics={},
            sent=sent,
            ok=sent - failed,
            errors=errors or {},
            started=STARTED,
            finished=STARTED + timedelta(seconds=2),
        )
    ]
    return Case(
        id=identity,
        scenario=scenario,
        name=name,
        description=f"What {name} measures",
        validity=validity,
        reason=reason,
        resolution_ms=0.1,
        iterations=rounds if sent else [],
        counts=Counts(sent=sent, ok=sent - failed) if sent else None,
    )


def difference_case(identity: str, p50: float, p95: float, p99: float, ratio: float) -> Case:
    """Return the difference between a call through the gateway and the same call to the server (ms, share)."""
    scenario, _, name = identity.partition("/")
    return Case(
        id=identity,
        scenario=scenario,
        name=name,
        kind="difference",
        description="What the gateway adds to a tool call",
        validity=Validity.VALID,
        resolution_ms=0.1,
        metrics={
            "added_p50_latency": p50,
            "added_p95_latency": p95,
            "added_p99_latency": p99,
            "throughput_ratio": ratio,
        },
        advisory=["added_p99_latency"],
        notes=["one minus the other"],
        iterations=[
            Iteration(
                metrics={"added_p50_latency": p50 + moved},
                sent=0,
                ok=0,
                errors={},
                started=STARTED,
                finished=STARTED + timedelta(seconds=2),
            )
            for moved in (-1.5, 0.2, 1.1)
        ],
    )


def gateway_cases() -> list[Case]:
    """Return the same call direct and through the gateway, and their difference."""
    return [
        case("gateway-core/call_direct", seed=5, started=after(11), median_ms=9.0, bucket_s=0.02),
        case("gateway-core/call_rpc", seed=6, started=after(14), median_ms=61.0),
        difference_case("gateway-core/overhead_rpc", 52.4, 71.9, 96.0, 0.147),
        difference_case("gateway-core/token_cost", -0.04, 3.1, 0.0, 0.973),
    ]


def run(cases: list[Case] | None = None, **changes: Any) -> Run:
    """Return a complete run; by default with valid, invalid and skipped cases, an aggregate, and differences."""
    if cases is None:
        cases = [
            case("tools/list_limit_50", started=after(2), counts=Counts(sent=300, ok=300)),
            case(
                "tools/call_get_system_time",
                seed=2,
                started=after(5),
                median_ms=61.0,
                failures=1,
                counts=Counts(sent=300, ok=297, server=297, server_failed=0),
            ),
            failed_case(
                "tools/call_convert_time",
                "298 of 300 requests failed: http 429; the gateway limits the rate: start it with "
                "RATE_LIMITING_ENABLED=false",
                errors={"http 429": 290, "transport": 8},
            ),
            case(
                "resources/read_world_times",
                seed=3,
                started=after(8),
                counts=Counts(sent=300, ok=300, server=12, server_failed=0, cached=True),
                notes=["A cache of the gateway may answer"],
            ),
            failed_case("resources/mcp_read", "release 0.7.0 has no streamable HTTP", Validity.SKIPPED, sent=0),
            *gateway_cases(),
            case("mixed/tools_call", seed=7, started=after(17), requests=40, median_ms=66.0),
            case("mixed/prompts_get", seed=8, started=after(17), requests=60, median_ms=72.0),
            case("mixed/all", seed=9, started=after(17), median_ms=70.0, kind="aggregate"),
        ]
    measured = [one for one in cases if one.kind == "measured" and one.validity is not Validity.SKIPPED]
    invalid = sum(one.validity is Validity.INVALID for one in measured)
    values: dict[str, Any] = {
        "run_id": RUN_ID,
        "profile": "light",
        "status": RunStatus.COMPLETE,
        "started": STARTED,
        "finished": STARTED + timedelta(minutes=3, seconds=12),
        "exit_code": 3 if invalid else 0,
        "exit_reason": f"{invalid} of {len(measured)} cases are invalid" if invalid else "first run, saved as baseline",
        "environment": environment(),
        "scenarios": list(dict.fromkeys(one.scenario for one in cases)),
        "commands": [
            "./run-configurable.sh --profile light --scenarios all",
            *(f"hey -n 100 -c 10 -t 30 -o csv 'http://127.0.0.1:4444/v1/{one.id}?a=1&b=2'" for one in cases),
        ],
        "cases": cases,
        "gateway_counts": [
            GatewayCount(
                kind="tools",
                expected=342,
                succeeded=339,
                failed=3,
                settled=True,
                cases=["tools/call_get_system_time"],
            ),
            GatewayCount(
                kind="resources",
                expected=342,
                succeeded=330,
                failed=0,
                settled=False,
                cases=["resources/read_world_times"],
            ),
        ],
        "load_seconds": 164.2,
        "warnings": ["the gateway's own metrics were still moving after 15 s"],
    }
    return Run(**(values | changes))


def sampled(seconds: int = 192, interval_s: int = 1, **changes: Any) -> Resources:
    """Return the resources of a run of so many seconds: a gateway, two servers, their database, hey, the monitor."""
    at = [float(second) for second in range(0, seconds, interval_s)]

    def wave(low: float, high: float, seed: int) -> list[float | None]:
        chance = random.Random(seed)
        return [
            round(low + (high - low) * (0.5 + 0.4 * math.sin(moment / 9)) + chance.uniform(0, 2), 1) for moment in at
        ]

    def component(name: str, kind: Any, cpu: tuple[float, float], memory: tuple[float, float]) -> ResourceSeries:
        seed = len(name)
        source = "system" if kind == "machine" else "process"
        return ResourceSeries(
            name=name, kind=kind, source=source, cpu_percent=wave(*cpu, seed), memory_mib=wave(*memory, seed + 1)
        )

    generator = component("hey", "generator", (4, 30), (12, 20))
    absent = [value if place % 40 < 25 else None for place, value in enumerate(generator.cpu_percent)]
    values: dict[str, Any] = {
        "interval_s": interval_s,
        "at_s": at,
        "series": [
            component("machine", "machine", (20, 170), (3000, 3300)),
            component("gateway", "gateway", (5, 99), (240, 330)),
            component("time1", "server", (1, 20), (60, 80)),
            component("time2", "server", (1, 16), (60, 75)),
            component("postgresql", "database", (1, 12), (90, 140)),
            generator.model_copy(update={"cpu_percent": absent}),
            component("monitor", "monitor", (0.5, 1.4), (30, 31)),
        ],
        "connections": [
            ConnectionSeries(
                name="postgresql",
                active=[int(moment) % 7 for moment in at],
                idle=[9 - int(moment) % 7 for moment in at],
                limit=100,
            )
        ],
        "notes": ["The cache was not sampled: it runs on another machine."],
    }
    return Resources(**(values | changes))


def paired(document: Run, changes_percent: dict[str, float] | None = None) -> tuple[Run, Comparison]:
    """Return the run as the head of two gateways, and its comparison with the base."""
    variant = VariantOfRun(label="head", spec="1.0.7", fresh=True, looks=2)
    head = document.model_copy(update={"variant": variant})
    reference = PairedReference(run_id="base_2026-03-02-093000", base="1.0.6", head="1.0.7")
    return head, comparison(head, changes_percent, mode="paired", baseline=None, paired=reference)


def comparison(document: Run, changes_percent: dict[str, float] | None = None, **changes: Any) -> Comparison:
    """Return the run's comparison with a baseline; ``changes_percent``: case id to percent, positive is better."""
    moved = changes_percent or {}
    cases = [_compared(one, moved.get(one.id, 1.3)) for one in document.cases]
    order = [Verdict.INVALID, Verdict.CRITICAL, Verdict.REGRESSION, Verdict.IMPROVEMENT]
    found = [verdict for verdict in order if any(one.verdict is verdict for one in cases)]
    verdict = found[0] if found else Verdict.UNCHANGED
    values: dict[str, Any] = {
        "run_id": document.run_id,
        "baseline": BaselineReference(profile=document.profile, version=3, runs=["light_2026-03-01-080000"]),
        "verdict": verdict,
        "reason": f"the worst of {len(cases)} cases is: {verdict}",
        "exit_code": {Verdict.INVALID: 3, Verdict.CRITICAL: 1, Verdict.REGRESSION: 1}.get(verdict, 0),
        "significance": 0.01,
        "hypotheses": 10,
        "suite": {
            "p50_latency": MetricComparison(
                verdict=Verdict.UNCHANGED, change_percent=-1.3, interval=(-2.3, -0.6), threshold_percent=10.0
            ),
            "requests_per_sec": MetricComparison(
                verdict=Verdict.UNCHANGED, change_percent=0.4, interval=(-1.1, 1.9), threshold_percent=10.0
            ),
        },
        "cases": cases,
    }
    return Comparison(**(values | changes))


def _compared(one: Case, percent: float) -> CaseComparison:
    if one.validity is not Validity.VALID:
        verdict = Verdict.MISSING if one.validity is Validity.SKIPPED else Verdict.INVALID
        return CaseComparison(id=one.id, verdict=verdict, reason=one.reason)
    verdict = _verdict(percent)
    metrics = {}
    for name in COMPARED:
        if name not in one.metrics:
            continue
        current = one.metrics[name]
        better_is_lower = METRICS[name].worse == "higher"
        reference = current * (1 + percent / 100) if better_is_lower else current / (1 + percent / 100)
        advisory = name in one.advisory
        metrics[name] = MetricComparison(
            verdict=Verdict.INCONCLUSIVE if advisory else verdict,
            current=current,
            reference=round(reference, 4),
            change_percent=percent,
            threshold_percent=10.0,
            interval=(round(percent - 3.4, 1), round(percent + 3.2, 1)),
            detectable_percent=11.2,
            q_value=None if advisory else 0.00004,
            spread_percent=2.1,
            samples=5,
            decided_by=None,
            advisory=advisory,
        )
    return CaseComparison(id=one.id, verdict=verdict if metrics else Verdict.NEW, metrics=metrics)


def _verdict(percent: float) -> Verdict:
    if percent <= -25:
        return Verdict.CRITICAL
    if percent <= -10:
        return Verdict.REGRESSION
    return Verdict.IMPROVEMENT if percent >= 5 else Verdict.UNCHANGED
