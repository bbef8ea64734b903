"""Turn documents into the view: all content of the page as formatted text.

These functions are pure: they read no files. This module drops the metric values of cases that are not valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from benchkit import number_format
from benchkit.clock import duration, seconds_between
from benchkit.ended import tally_of
from benchkit.model import (
    METRICS,
    Case,
    CaseComparison,
    Comparison,
    Environment,
    GatewayCount,
    Iteration,
    MetricValues,
    Run,
    Tone,
    Validity,
    Verdict,
    derived_metrics,
    iteration_metrics,
    main_metrics,
    needed_samples,
)
from benchkit.number_format import TIMES, Cell, absent, count
from benchkit.report import charts
from benchkit.report.chart_library import ChartLibrary
from benchkit.report.charts import Drawn, Plots
from benchkit.report.comparison_view import (
    STORED,
    Badge,
    Change,
    ComparedRow,
    Mode,
    SuiteRow,
    case_change,
    compared_rows,
    could_be_seen,
    metric_change,
    mode_of,
    suite_rows,
    thresholds,
    verdict_badge,
)
from benchkit.report.frame import Frame
from benchkit.report.headline import (
    headline,
    limitations,
    reference_name,
    sentence,
)
from benchkit.report.system import System, build_system

ERROR_WORDS = {"transport": "no answer: refused, reset or timed out"}


@dataclass(frozen=True)
class Measure:
    """A value with its change against the reference."""

    cell: Cell
    change: Change | None = None


@dataclass(frozen=True)
class Problem:
    """A case without a result, and the reason."""

    id: str
    badge: Badge
    reason: str


@dataclass(frozen=True)
class Row:  # pylint: disable=too-many-instance-attributes # one for each column
    """One row in the table of all cases. ``has_details``: the page has a section about the case."""

    id: str
    name: str
    description: str
    validity: Badge
    has_details: bool
    sent: Cell
    success: Cell
    measures: list[Measure]
    verdict: Change | None


@dataclass(frozen=True)
class Group:
    """A scenario's rows."""

    scenario: str
    rows: list[Row]


@dataclass(frozen=True)
class DifferenceRow:
    """How much longer one case takes than another. ``iterations``: the difference of the medians in each iteration."""

    id: str
    name: str
    description: str
    notes: list[str]
    measures: list[Measure]
    iterations: list[Cell]


@dataclass(frozen=True)
class IterationTable:
    """Iterations side by side: the first column is all of them together, then one column each."""

    heads: list[str]
    rows: list[tuple[str, list[Cell]]]


@dataclass(frozen=True)
class ErrorRow:
    """Failures of one kind."""

    kind: str
    meaning: str
    count: str
    share: str


@dataclass(frozen=True)
class CountRow:
    """How many requests of a case one witness counted."""

    witness: str
    count: Cell
    remark: str


@dataclass(frozen=True)
class Details:  # pylint: disable=too-many-instance-attributes # one for each part of what opens
    """Everything about one case. ``courses``: charts by number of the iteration, with buckets of ``bucket``."""

    id: str
    name: str
    description: str
    validity: Badge
    verdict: Change | None
    summary: str
    caution: str
    notes: list[str]
    charts: list[Drawn]
    courses: list[tuple[int, Drawn]]
    bucket: str
    compared: list[ComparedRow]
    iterations: IterationTable
    errors: list[ErrorRow]
    counts: list[CountRow]


@dataclass(frozen=True)
class ScenarioDetails:
    """The details of a scenario's cases."""

    scenario: str
    cases: list[Details]


@dataclass(frozen=True)
class GatewayRow:
    """The gateway's own count of one kind of request, over the whole run."""

    kind: str
    expected: str
    succeeded: str
    failed: str
    badge: Badge
    remark: str
    cases: list[str]


@dataclass(frozen=True)
class Facts:
    """A titled list of names and values."""

    title: str
    rows: list[tuple[str, str]]


@dataclass(frozen=True)
class Page:  # pylint: disable=too-many-instance-attributes # one for each part of the page
    """All content of the report."""

    run_id: str
    frame: Frame
    problems: list[Problem]
    baseline: str
    mode: Mode
    suite: list[SuiteRow]
    thresholds: str
    could_be_seen: str
    heads: list[str]
    groups: list[Group]
    advisory: bool
    difference_heads: list[str]
    differences: list[DifferenceRow]
    difference_bars: Drawn | None
    scenarios: list[ScenarioDetails]
    system: System | None
    gateway_counts: list[GatewayRow]
    environment: list[Facts]
    commands: list[str]
    warnings: list[str]
    limitations: list[str]
    plots: Plots


def build_page(run: Run, comparison: Comparison | None, chart_types: Sequence[str], library: ChartLibrary) -> Page:
    """Return the view of a run.

    Args:
        run: the run's document.
        comparison: the run's comparison with its baseline, if there is one.
        chart_types: the charts of each case, as named in ``reporting.chart_types``.
        library: the chart library to embed.
    """
    compared = {case.id: case for case in comparison.cases} if comparison else {}
    differences = [case for case in run.cases if case.kind == "difference"]
    ordinary = [case for case in run.cases if case.kind != "difference"]
    detailed = [case for case in ordinary if case.iterations]
    plots = Plots(library)
    mode = mode_of(comparison) if comparison else STORED
    return Page(
        run_id=run.run_id,
        frame=Frame(
            title=f"{run.profile} profile",
            subject=_moment(run.started),
            started=_moment(run.started),
            started_iso=run.started.isoformat(),
            target=_target_name(run.environment),
            facts=_key_facts(run),
            **vars(headline(run, comparison)),
        ),
        problems=_problems(run, comparison),
        baseline=reference_name(comparison) if comparison is not None else "",
        mode=mode,
        suite=suite_rows(comparison) if comparison else [],
        thresholds=thresholds(comparison) if comparison else "",
        could_be_seen=could_be_seen(comparison) if comparison else "",
        heads=[METRICS[name].heading for name in main_metrics()],
        groups=[
            Group(name, [_row(case, compared.get(case.id)) for case in cases])
            for name, cases in _by_scenario(ordinary).items()
        ],
        advisory=any(case.advisory for case in run.cases if case.validity is Validity.VALID),
        difference_heads=[METRICS[name].heading for name in derived_metrics()],
        differences=[_difference_row(case, compared.get(case.id)) for case in differences],
        difference_bars=plots.add(charts.overhead([case for case in differences if case.metrics])),
        scenarios=_scenario_details(
            [_details(case, run, compared.get(case.id), mode, _charts(case, chart_types, plots)) for case in detailed]
        ),
        system=build_system(run, plots),
        gateway_counts=[_gateway_row(one) for one in run.gateway_counts],
        environment=_environment(run),
        commands=run.commands,
        warnings=[sentence(text) for text in run.warnings],
        limitations=limitations(run),
        plots=plots,
    )


# ---------------------------------------------------------------------------------------------------------------------
# The head of the page


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _target_name(environment: Environment) -> str:
    target = environment.target
    release = f"MCP Gateway {target.release}" if target.release else "MCP Gateway, release unknown"
    database = " ".join(part for part in (target.database, target.database_version) if part)
    return " · ".join(part for part in (release, database, target.base_url) if part)


def _key_facts(run: Run) -> list[tuple[str, str]]:
    load = run.environment.load
    measured = [case for case in run.cases if case.kind == "measured"]
    tally = tally_of([run])
    sent = sum(_sent(case) for case in measured)
    lasted = seconds_between(run.started, run.finished)
    return [
        ("Cases valid", f"{tally.valid} of {tally.measured}"),
        ("Requests sent", count(sent)),
        (f"Requests {TIMES} iterations", f"{count(load.requests)} {TIMES} {count(load.iterations)}"),
        ("Concurrency", count(load.concurrency)),
        ("Duration", duration(lasted)),
        (
            "Time under load",
            f"{run.load_seconds / lasted:.0%}".replace("%", " %") if lasted > 0 else number_format.ABSENT,
        ),
    ]


def _problems(run: Run, comparison: Comparison | None) -> list[Problem]:
    without = [case for case in run.cases if case.validity is not Validity.VALID]
    found = [
        Problem(case.id, _validity(case), sentence(case.reason) or "No reason was recorded.")
        for case in sorted(without, key=lambda case: case.validity.severity)
    ]
    known = {case.id for case in run.cases}
    for case in comparison.cases if comparison else []:
        if case.verdict is Verdict.MISSING and case.id not in known:
            reason = sentence(case.reason) or "It is in the baseline and was not part of this run."
            found.append(Problem(case.id, verdict_badge(case.verdict), reason))
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def _by_scenario(cases: list[Case]) -> dict[str, list[Case]]:
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.scenario, []).append(case)
    return groups


def _validity(case: Case) -> Badge:
    return Badge(case.validity.value, case.validity.row.tone)


def _sent(case: Case) -> int:
    return case.counts.sent if case.counts else sum(one.sent for one in case.iterations)


def _ok(case: Case) -> int:
    return case.counts.ok if case.counts else sum(one.ok for one in case.iterations)


def _row(case: Case, compared: CaseComparison | None) -> Row:
    sent = _sent(case)
    success = absent("nothing was sent")
    if sent:
        success = Cell(number_format.success(_ok(case), sent), value=round(100 * _ok(case) / sent, 6))
    if case.validity is not Validity.VALID:
        success = absent(_why_absent(case))
    return Row(
        id=case.id,
        name=case.name,
        description=case.description,
        validity=_validity(case),
        has_details=bool(case.iterations),
        sent=Cell(count(sent), value=sent) if sent else absent("nothing was sent"),
        success=success,
        measures=[_measure(case, name, compared) for name in main_metrics()],
        verdict=case_change(compared),
    )


def _difference_row(case: Case, compared: CaseComparison | None) -> DifferenceRow:
    return DifferenceRow(
        id=case.id,
        name=case.name,
        description=case.description,
        notes=[sentence(note) for note in case.notes],
        measures=[_measure(case, name, compared) for name in derived_metrics()],
        iterations=[_metric_cell(one.metrics, "added_p50_latency", 0, advisory=False) for one in case.iterations],
    )


def _measure(case: Case, name: str, compared: CaseComparison | None) -> Measure:
    cell = _figure(case, name)
    entry = compared.metrics.get(name) if compared else None
    if cell.absent or entry is None:
        return Measure(cell)
    return Measure(cell, metric_change(name, entry))


def _figure(case: Case, name: str) -> Cell:
    if case.validity is not Validity.VALID:
        return absent(_why_absent(case))
    if name not in case.metrics:
        return absent("not measured")
    return _metric_cell(case.metrics, name, _ok(case), advisory=name in case.advisory)


def _metric_cell(values: MetricValues, name: str, successes: int, *, advisory: bool) -> Cell:
    if name not in values:
        return absent("nothing succeeded")
    text = number_format.metric(name, values[name])
    if not advisory:
        return Cell(text, value=values[name])
    needed = needed_samples(METRICS[name])
    why = (
        f": {METRICS[name].label} needs {needed} successes, this case has {successes}"
        if needed > 1 and successes
        else ""
    )
    return Cell(text, f"advisory{why}", advisory=True, value=values[name])


def _why_absent(case: Case) -> str:
    return f"{case.validity.value}: {case.reason}" if case.reason else case.validity.value


# ---------------------------------------------------------------------------------------------------------------------
# A case's details


def _scenario_details(cases: Sequence[tuple[str, Details]]) -> list[ScenarioDetails]:
    groups: dict[str, list[Details]] = {}
    for scenario, details in cases:
        groups.setdefault(scenario, []).append(details)
    return [ScenarioDetails(scenario, group) for scenario, group in groups.items()]


@dataclass(frozen=True)
class _Charts:
    """A case's charts; those over time by number of the iteration."""

    others: list[Drawn]
    courses: list[tuple[int, Drawn]]


def _details(case: Case, run: Run, compared: CaseComparison | None, mode: Mode, drawn: _Charts) -> tuple[str, Details]:
    """Return a case's details, with its scenario's name."""
    judged = compared if case.validity is Validity.VALID else None
    return case.scenario, Details(
        id=case.id,
        name=case.name,
        description=case.description,
        validity=_validity(case),
        verdict=case_change(compared),
        summary=_summary(case),
        caution=_caution(case),
        notes=[sentence(note) for note in case.notes],
        charts=drawn.others,
        courses=drawn.courses,
        bucket=duration(case.timeline.bucket_s) if case.timeline else "",
        compared=compared_rows(judged, mode) if judged else [],
        iterations=_iteration_table(case),
        errors=_error_rows(case),
        counts=_count_rows(case, run.gateway_counts),
    )


def _charts(case: Case, wanted: Sequence[str], plots: Plots) -> _Charts:
    """Return a case's charts of the ``wanted`` types. Failures are always charted."""
    found = [charts.errors(case.id, case.iterations)]
    courses: list[tuple[int, charts.Plot]] = []
    if _has_figures(case):
        if "throughput_timeline" in wanted:
            found.insert(0, charts.rounds(case.id, case.iterations))
            courses = charts.courses(case.id, case.timeline) if case.timeline else []
        if "latency_distribution" in wanted:
            curve = charts.curve(case.id, case.percentiles) if case.percentiles else None
            histogram = charts.distribution(case.id, case.histogram, case.metrics) if case.histogram else None
            found = [histogram, curve, *found]
    return _Charts(
        [drawn for plot in found if (drawn := plots.add(plot))],
        [(number, drawn) for number, plot in courses if (drawn := plots.add(plot))],
    )


def _has_figures(case: Case) -> bool:
    """Return whether there are values: an interrupted case keeps those of its iterations, an invalid one has none."""
    return case.validity in (Validity.VALID, Validity.INTERRUPTED)


def _summary(case: Case) -> str:
    if case.validity is not Validity.VALID:
        return ""
    parts = [
        f"{number_format.metric(name, case.metrics[name])} {unit}"
        for name, unit in (("requests_per_sec", "req/s"), ("p50_latency", "ms p50"), ("p95_latency", "ms p95"))
        if name in case.metrics
    ]
    return " · ".join(parts)


def _caution(case: Case) -> str:
    reason = sentence(case.reason)
    if case.validity is Validity.INVALID:
        return (
            f"{reason} An invalid case has no latency and no throughput; the counts below are by HTTP status only."
        ).strip()
    if case.validity is Validity.INTERRUPTED:
        return f"{reason} The case was interrupted: the values below are partial, not a result.".strip()
    return reason


def _iteration_table(case: Case) -> IterationTable:
    pooled = case.validity is Validity.VALID
    columns = ["all"] if pooled else []
    rows: list[tuple[str, list[Cell]]] = [
        ("requests sent", [Cell(count(one.sent)) for one in case.iterations]),
        ("successes" if pooled else "good statuses", [Cell(count(one.ok)) for one in case.iterations]),
    ]
    if pooled:
        rows = [
            (label, [Cell(count(total)), *cells])
            for (label, cells), total in zip(rows, (_sent(case), _ok(case)), strict=True)
        ]
    if _has_figures(case):
        for name in iteration_metrics():
            cells = [_iteration_cell(one, name) for one in case.iterations]
            rows.append((METRICS[name].heading, [_figure(case, name), *cells] if pooled else cells))
    return IterationTable([*columns, *(str(number) for number in range(1, len(case.iterations) + 1))], rows)


def _iteration_cell(one: Iteration, name: str) -> Cell:
    return _metric_cell(one.metrics, name, one.ok, advisory=one.ok < needed_samples(METRICS[name]))


def _error_rows(case: Case) -> list[ErrorRow]:
    kinds: dict[str, int] = {}
    for one in case.iterations:
        for kind, number in one.errors.items():
            kinds[kind] = kinds.get(kind, 0) + number
    sent = _sent(case)
    return [
        ErrorRow(
            kind, ERROR_WORDS.get(kind, ""), count(number), number_format.percent_of(number / sent) if sent else ""
        )
        for kind, number in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    ]


def _count_rows(case: Case, gateway_counts: Sequence[GatewayCount]) -> list[CountRow]:
    """Return the counts of each witness of a case's requests: load generator, MCP servers, gateway."""
    counts = case.counts
    if counts is None:
        return []
    failed = counts.sent - counts.ok
    rows = [
        CountRow("sent by the load generator", Cell(count(counts.sent)), ""),
        CountRow(
            "answered as expected" if case.validity is Validity.VALID else "answered with the expected status",
            Cell(count(counts.ok)),
            f"{count(failed)} failed" if failed else "none failed",
        ),
    ]
    if counts.server is None:
        rows.append(CountRow("seen by the MCP servers", absent("not counted"), "not counted for this case"))
    else:
        missing = counts.sent - counts.server
        remark = "as many as were sent"
        if counts.hit_ratio:
            remark = f"a cache answered the rest: {number_format.percent_of(counts.hit_ratio)} % hits"
        elif missing:
            remark = f"{count(abs(missing))} {'fewer' if missing > 0 else 'more'} than were sent"
        rows.append(CountRow("seen by the MCP servers", Cell(count(counts.server)), remark))
    if counts.server_failed:
        rows.append(CountRow("of these, answered with an error", Cell(count(counts.server_failed)), ""))
    rows += [
        CountRow(
            "counted by the gateway", absent("not kept per case"), f"all {one.kind} together: {_agreement(one)[0].word}"
        )
        for one in gateway_counts
        if case.id in one.cases
    ]
    return rows


# ---------------------------------------------------------------------------------------------------------------------
# The run's surroundings
# The run's environment


def _gateway_row(one: GatewayCount) -> GatewayRow:
    badge, remark = _agreement(one)
    return GatewayRow(one.kind, count(one.expected), count(one.succeeded), count(one.failed), badge, remark, one.cases)


def _agreement(one: GatewayCount) -> tuple[Badge, str]:
    """Return whether the gateway's count equals the number of sent requests, and by how much it differs."""
    more = one.succeeded + one.failed - one.expected
    badge, remark = Badge("agrees", Tone.GOOD), ""
    if more:
        badge = Badge("differs", Tone.WARN)
        remark = f"{count(abs(more))} {'more' if more > 0 else 'fewer'} than expected"
    if one.expected and not one.recorded:
        badge, remark = Badge("not recorded", Tone.WARN), "the gateway counted none of them"
    elif not one.settled:
        badge = Badge("not settled", Tone.WARN)
        remark = "; ".join(part for part in (remark, "the counters were still changing") if part)
    return badge, remark


def _environment(run: Run) -> list[Facts]:
    machine, target, load = run.environment.machine, run.environment.target, run.environment.load
    origin = {"local": "started by this toolkit", "docker": "started by this toolkit, in Docker"}
    control = machine.control_score
    database = " ".join(part for part in (target.database, target.database_version) if part)
    found = [
        Facts("Run", _run_facts(run)),
        Facts(
            "Machine of the load generator",
            [
                ("CPU", machine.cpu_model),
                ("cores", str(machine.cores)),
                ("memory", f"{count(machine.memory_mib)} MiB"),
                ("kernel", machine.kernel),
                ("Python", machine.python),
                *machine.engines.items(),
                ("toolkit", machine.toolkit),
                ("control score", f"{number_format.significant(control, 1)} ms" if control else "not taken"),
            ],
        ),
        Facts(
            "Gateway under test",
            [
                ("address", target.base_url),
                ("path prefix", target.prefix or "none"),
                ("origin", origin.get(target.origin, "not started by this toolkit")),
                ("release", target.release or "unknown"),
                ("database", database or "unknown"),
                ("cache", target.cache or "unknown"),
                ("workers", "not told" if target.workers is None else str(target.workers)),
                ("age at start", "not told" if target.uptime_s is None else duration(target.uptime_s)),
                ("MCP servers", count(target.servers)),
                ("tools", count(target.tools)),
                ("resources", count(target.resources)),
                ("prompts", count(target.prompts)),
            ],
        ),
        Facts(
            "Load",
            [
                ("profile", load.profile),
                ("requests per case", count(load.requests)),
                ("concurrency", count(load.concurrency)),
                ("iterations", count(load.iterations)),
                ("warm-up requests", count(load.warmup_requests)),
                ("timeout", f"{load.timeout_s} s"),
            ],
        ),
    ]
    if target.settings:
        found.append(Facts("Gateway settings", sorted(target.settings.items())))
    return found


def _run_facts(run: Run) -> list[tuple[str, str]]:
    facts = [
        ("id", run.run_id),
        ("began", _moment(run.started)),
        ("ended", _moment(run.finished)),
        ("state", run.status.value),
        ("exit code", str(run.exit_code)),
        ("scenarios", ", ".join(run.scenarios) or "none"),
    ]
    if run.variant is not None:
        fresh = "restarted for every block" if run.variant.fresh else "not started by this toolkit"
        facts += [("variant", f"{run.variant.label}: {run.variant.spec}"), ("gateways", fresh)]
        facts += [("rounds in a block", count(run.variant.rounds))]
    return facts
