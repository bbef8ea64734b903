"""Measure the error rates of verdicts (false alarms, missed slowdowns) on recorded measurements of a real gateway.

  verdicts.py [--suites N] [--seed S]          check the promised rates with benchmarks/recorded/; exit 1 if not kept
  verdicts.py --condense paired DIR...         create paired_aa.json from comparisons of one gateway with itself
  verdicts.py --condense stored RUN_DIR...     create stored_aa.json from runs of one unchanged gateway (for a variant
                                               of a comparison with itself, each block becomes a run)

Suites of 20 cases are drawn from the recorded blocks (paired mode) or runs (stored mode), without replacement within a
suite, and judged by the toolkit itself: compare() and compare_paired() of benchkit.verdict. If fewer cases were
recorded, some are drawn again (in paired mode from other blocks). A slowdown is injected into one case of a suite: its
latencies are multiplied by 1.2, its requests per second divided by 1.2.

Both copies of the gateway are the same, so every alarm is false. The paired mode works like ./run-advanced.sh: it
analyses after 5, K and 2K blocks, stops when everything is decided, and continues only with undecided cases.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import geometric_mean, median
from typing import Literal

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "utils"))

# pylint: disable=wrong-import-position  # the path is set a line above
from benchkit import store
from benchkit.errors import ExitCode, UserError, run_program
from benchkit.model import (
    METRICS,
    Baseline,
    BaselineRun,
    Case,
    Comparison,
    Environment,
    Iteration,
    Load,
    Machine,
    MetricValues,
    Model,
    Run,
    RunStatus,
    Target,
    Validity,
    VariantOfRun,
    Worse,
)
from benchkit.model.upgrades import OLDEST_RUNS
from benchkit.settings import Baselines, load_settings
from benchkit.verdict.compare import compare, compare_paired, undecided
from benchkit.verdict.rules import badness, case_figures
from benchkit.verdict.runs import load_run
from benchkit.verdict.statistics import FEWEST_TOGETHER, apart

RECORDED = Path(__file__).resolve().parent / "recorded"
CASES = 20
FIRST_LOOK = 5
STORED_SIZES = (1, 2, 5, 10)
SLOWDOWNS = (5, 10, 20)
STORED_SLOWDOWNS = (10, 20, 30, 50)
KEPT = ("p50_latency", "requests_per_sec", "p95_latency")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

MOST_FALSE = 0.01
LEAST_FOUND = 0.95


class PairedRecord(Model):
    """Blocks of one gateway against itself: case id to metric to ``[base, head]``."""

    schema_version: Literal[1] = 1
    machine: str
    release: str
    requests: int
    concurrency: int
    blocks: list[dict[str, dict[str, tuple[float, float]]]]


class StoredRun(Model):
    """One run's values, and the machine's control score at that run."""

    control_score: float | None = None
    cases: dict[str, MetricValues]


class StoredRecord(Model):
    """Runs of one unchanged gateway."""

    schema_version: Literal[1] = 1
    machine: str
    release: str = ""
    requests: int = 100
    concurrency: int = 10
    runs: list[StoredRun]


# ---------------------------------------------------------------------------------------------------------------------
# Documents of a suite


def _environment(load: tuple[int, int], control_score: float | None = None) -> Environment:
    machine = Machine(
        cpu_model="recorded",
        cores=1,
        memory_mib=1,
        kernel="",
        python="",
        engines={},
        toolkit="",
        control_score=control_score,
    )
    requests, concurrency = load
    return Environment(
        machine=machine,
        target=Target(base_url="http://127.0.0.1", prefix="", origin="local"),
        load=Load(
            profile="recorded",
            requests=requests,
            concurrency=concurrency,
            timeout_s=30,
            iterations=1,
            warmup_requests=0,
        ),
    )


def _case(identity: str, blocks: Sequence[MetricValues], requests: int) -> Case:
    iterations = [
        Iteration(metrics=figures, sent=requests, ok=requests, errors={}, started=NOON, finished=NOON)
        for figures in blocks
    ]
    return Case(
        id=identity,
        scenario="suite",
        name=identity,
        validity=Validity.VALID,
        resolution_ms=0.1,
        iterations=iterations,
    )


def _run(name: str, cases: list[Case], environment: Environment, variant: VariantOfRun | None = None) -> Run:
    return Run(
        run_id=name,
        profile="recorded",
        status=RunStatus.COMPLETE,
        started=NOON,
        finished=NOON + timedelta(hours=1),
        exit_code=0,
        exit_reason="",
        environment=environment,
        scenarios=["suite"],
        commands=[],
        cases=cases,
        variant=variant,
    )


def slowed(figures: MetricValues, percent: float) -> MetricValues:
    """Return the values of a gateway that takes so much longer for each request."""
    factor = 1 + percent / 100
    return {
        name: value * factor if METRICS[name].worse is Worse.HIGHER else value / factor
        for name, value in figures.items()
    }


# ---------------------------------------------------------------------------------------------------------------------
# Drawing suites


@dataclass(frozen=True)
class Slot:
    """One case of a suite: the recorded case, and the blocks or runs that it uses, in this order."""

    identity: str
    recorded: str
    order: list[int]


def draw(rng: np.random.Generator, cases: Sequence[str], available: int, needed: int, *, others: bool) -> list[Slot]:
    """Draw the cases of a suite.

    All use the same blocks, like the cases of one measurement. With ``others``, repeated cases use other blocks.
    """
    together = [int(index) for index in rng.permutation(available)[:needed]]
    chosen = [str(name) for name in rng.permutation(list(cases))[:CASES]]
    slots = [Slot(f"suite/{number}", name, together) for number, name in enumerate(chosen)]
    while len(slots) < CASES:
        again = str(rng.choice(list(cases)))
        order = [int(index) for index in rng.permutation(available)[:needed]] if others else together
        slots.append(Slot(f"suite/{len(slots)}", again, order))
    return slots


@dataclass(frozen=True)
class Judged:
    """The result of a suite: whether it failed (by a case, or by all together), and whether the slowed case did."""

    alarm: bool
    found: bool
    blocks: int


def _judged(comparison: Comparison, target: str, blocks: int) -> Judged:
    failed = {case.id for case in comparison.cases if case.verdict.row.fails}
    # Use the exit code, because all cases together may fail a suite in which no single case does.
    return Judged(alarm=comparison.exit_code == ExitCode.REGRESSION, found=target in failed, blocks=blocks)


class Paired:
    """Suites of the paired mode."""

    def __init__(self, record: PairedRecord, blocks: int) -> None:
        self.record = record
        self.cases = sorted(set.intersection(*(set(block) for block in record.blocks)))
        available = len(record.blocks)
        planned = [min(FIRST_LOOK, blocks), blocks, 2 * blocks]
        self.looks = sorted({min(look, available) for look in planned})

    def judge(self, rng: np.random.Generator, limits: Baselines, percent: float = 0.0) -> Judged:
        """Draw a suite, slow down its first case on the head, and make the interim analyses."""
        slots = draw(rng, self.cases, len(self.record.blocks), self.looks[-1], others=True)
        counts = {slot.identity: self.looks[0] for slot in slots}
        comparison = self._compare(slots, counts, limits, percent)
        measured = self.looks[0]
        for look in self.looks[1:]:
            rest = undecided(comparison)
            if not rest:
                break
            counts.update(dict.fromkeys(rest, look))
            measured = look
            comparison = self._compare(slots, counts, limits, percent)
        return _judged(comparison, slots[0].identity, measured)

    def _compare(self, slots: list[Slot], counts: dict[str, int], limits: Baselines, percent: float) -> Comparison:
        variants = []
        for variant in (0, 1):
            cases = []
            for slot in slots:
                blocks = [self._figures(slot, block, variant) for block in slot.order[: counts[slot.identity]]]
                if variant and slot is slots[0]:
                    blocks = [slowed(figures, percent) for figures in blocks]
                cases.append(_case(slot.identity, blocks, self.record.requests))
            label = "head" if variant else "base"
            what = VariantOfRun(label=label, spec=label, fresh=True, looks=len(self.looks))
            environment = _environment((self.record.requests, self.record.concurrency))
            variants.append(_run(label, cases, environment, what))
        return compare_paired(variants[0], variants[1], limits)

    def _figures(self, slot: Slot, block: int, variant: int) -> MetricValues:
        return {metric: pair[variant] for metric, pair in self.record.blocks[block][slot.recorded].items()}

    def noise(self, metric: str) -> list[float]:
        """Return, per case, the standard deviation of the difference in a block, in percent."""
        found = []
        for case in self.cases:
            pairs = [block[case][metric] for block in self.record.blocks if metric in block[case]]
            differences = [badness(METRICS[metric], head) - badness(METRICS[metric], base) for base, head in pairs]
            if len(differences) > 1:
                found.append(100 * float(np.std(differences, ddof=1)))
        return found


class Stored:
    """Suites of the stored mode, against a baseline of ``size`` runs."""

    def __init__(self, record: StoredRecord) -> None:
        self.record = record
        self.cases = sorted(set.intersection(*(set(run.cases) for run in record.runs)))

    def judge(self, rng: np.random.Generator, limits: Baselines, size: int, percent: float = 0.0) -> Judged:
        """Draw a baseline's runs, its oldest accepted runs, and one run with a slowed case to compare with both."""
        # The oldest accepted runs are among the newest until there are more runs than a baseline keeps.
        gone = OLDEST_RUNS if size >= limits.keep_runs and len(self.record.runs) > OLDEST_RUNS + size else 0
        slots = draw(rng, self.cases, len(self.record.runs), gone + size + 1, others=False)
        # All cases come from the same runs, because they share the control scores.
        numbers, load = slots[0].order, (self.record.requests, self.record.concurrency)
        runs = [
            BaselineRun(
                run_id=f"run{place}",
                finished=NOON + timedelta(hours=place),
                cases={slot.identity: self._figures(slot, place) for slot in slots},
                control_score=self.record.runs[numbers[place]].control_score,
            )
            for place in range(gone + size)
        ]
        baseline = Baseline(
            profile="recorded",
            version=1,
            created=NOON,
            environment=_environment(load),
            runs=runs[gone:],
            oldest=runs[:OLDEST_RUNS],
        )
        cases = []
        for slot in slots:
            figures = self._figures(slot, gone + size)
            if slot is slots[0]:
                figures = slowed(figures, percent)
            cases.append(_case(slot.identity, [figures], self.record.requests))
        now = _environment(load, self.record.runs[numbers[gone + size]].control_score)
        return _judged(compare(_run("now", cases, now), baseline, limits), slots[0].identity, size)

    def _figures(self, slot: Slot, place: int) -> MetricValues:
        return self.record.runs[slot.order[place]].cases[slot.recorded]

    def parts(self, metric: str) -> tuple[float, float]:
        """Return the noise that all cases of a run share, and a case's own (standard deviations, in percent)."""
        values = np.array(
            [[badness(METRICS[metric], run.cases[case][metric]) for case in self.cases] for run in self.record.runs]
        )
        taken = apart(values)
        return 100 * float(taken.shifts.std(ddof=1)), 100 * taken.pooled.deviation

    def noise(self, metric: str) -> list[float]:
        """Return, per case, the standard deviation between runs, in percent."""
        found = []
        for case in self.cases:
            values = [badness(METRICS[metric], run.cases[case][metric]) for run in self.record.runs]
            found.append(100 * float(np.std(values, ddof=1)))
        return found


# ---------------------------------------------------------------------------------------------------------------------
# The promised error rates


class Report:
    """Prints lines, and records whether every promise was kept."""

    def __init__(self, suites: int) -> None:
        self.suites = suites
        self.kept = True

    def noise(self, values: dict[str, list[float]]) -> None:
        """Print the noise behind the following lines."""
        words = [
            f"{METRICS[name].label} {median(each):.1f} % (worst case {max(each):.1f} %)"
            for name, each in values.items()
            if each
        ]
        print(f"  noise: {', '.join(words)}")

    def line(self, what: str, hits: int, promise: Callable[[float], bool] | None = None, more: str = "") -> None:
        """Print one result; with a promise, also whether it is kept."""
        mark = ""
        if promise is not None:
            holds = promise(hits / self.suites)
            self.kept = self.kept and holds
            mark = "  kept" if holds else "  NOT KEPT"
        print(f"  {what:<62} {hits:>4} of {self.suites}{more}{mark}")


def _paired_report(paired: Paired, limits: Baselines, report: Report, seed: int) -> None:
    record = paired.record
    print(
        f"Paired mode, one release against itself: {record.release} on {record.machine}, {record.requests} requests, "
        f"{record.concurrency} concurrent\n  {len(record.blocks)} recorded blocks of {_drawn(paired.cases)}; "
        f"looks after {', '.join(map(str, paired.looks))} blocks"
    )
    report.noise({name: paired.noise(name) for name in KEPT})
    for threshold in (limits.regression_threshold, 5.0):
        at = limits.model_copy(update={"regression_threshold": threshold})
        judged = [paired.judge(np.random.default_rng([seed, 1, number]), at) for number in range(report.suites)]
        blocks = sum(one.blocks for one in judged) / len(judged)
        alarms = sum(one.alarm for one in judged)
        what = f"A/A, threshold {threshold:g} %: suites that raise an alarm"
        report.line(what, alarms, lambda share: share <= MOST_FALSE, f" (mean of the last look: {blocks:.1f} blocks)")
    promised = {(10.0, 20), (5.0, 10)}
    for threshold in (10.0, 5.0):
        at = limits.model_copy(update={"regression_threshold": threshold})
        for percent in SLOWDOWNS:
            judged = [
                paired.judge(np.random.default_rng([seed, 2, number]), at, percent) for number in range(report.suites)
            ]
            found = sum(one.found for one in judged)
            promise = (lambda share: share >= LEAST_FOUND) if (threshold, percent) in promised else None
            report.line(f"{percent} % slower in one case, threshold {threshold:g} %: found", found, promise)


def _stored_report(stored: Stored, limits: Baselines, report: Report, seed: int) -> None:
    record = stored.record
    print(
        f"Stored mode, runs of one gateway: {record.release or 'release not recorded'} on {record.machine}, "
        f"{record.requests} requests, {record.concurrency} concurrent\n  {len(record.runs)} recorded runs of "
        f"{_drawn(stored.cases)}; without a noise record, by the default of config.yaml"
    )
    report.noise({name: stored.noise(name) for name in KEPT if all(name in run for run in _figures_of(stored))})
    if len(stored.cases) >= FEWEST_TOGETHER:
        shared, own = stored.parts("p50_latency")
        print(f"  of p50, all cases of a run share {shared:.1f} %, and {own:.1f} % are a case's own")
    for size in STORED_SIZES:
        if size >= len(record.runs):
            print(f"  {size} runs in the baseline: not enough are recorded")
            report.kept = report.kept and size < FIRST_LOOK
            continue
        alarms = sum(
            stored.judge(np.random.default_rng([seed, 3, number]), limits, size).alarm
            for number in range(report.suites)
        )
        promise = (lambda share: share <= MOST_FALSE) if size >= FIRST_LOOK else None
        report.line(f"A/A, {size} runs in the baseline: suites that raise an alarm", alarms, promise)
        for percent in STORED_SLOWDOWNS:
            found = sum(
                stored.judge(np.random.default_rng([seed, 4, number]), limits, size, percent).found
                for number in range(report.suites)
            )
            report.line(f"  {percent} % slower in one case: found", found)


def _drawn(cases: Sequence[str]) -> str:
    again = f", {CASES - len(cases)} of them drawn again" if len(cases) < CASES else ""
    return f"{len(cases)} cases, drawn to suites of {CASES}{again}"


def _figures_of(stored: Stored) -> Iterable[MetricValues]:
    return (run.cases[case] for run in stored.record.runs for case in stored.cases)


# ---------------------------------------------------------------------------------------------------------------------
# Making the recorded data


def condense_paired(directories: Sequence[Path]) -> PairedRecord:
    """Join the blocks of the comparisons (``DIR/base/run.json``, ``DIR/head/run.json``) in all directories."""
    blocks: list[dict[str, dict[str, tuple[float, float]]]] = []
    first: Run | None = None
    for directory in directories:
        base, head = load_run(directory / "base"), load_run(directory / "head")
        first = _require_same_load(first, head, directory)
        heads = {case.id: case for case in head.cases if case.validity is Validity.VALID and case.kind != "difference"}
        pairs = [
            (case, heads[case.id])
            for case in base.cases
            if case.validity is Validity.VALID and case.id in heads and case.iterations
        ]
        # Use only blocks that all cases have, because decided cases were not measured any more.
        rounds = head.variant.rounds if head.variant is not None else 1
        shared = min((min(len(one.iterations), len(other.iterations)) // rounds for one, other in pairs), default=0)
        blocks += [{one.id: _both(one, other, block, rounds) for one, other in pairs} for block in range(shared)]
    assert first is not None, "argparse asks for at least one directory"
    load, environment = first.environment.load, first.environment
    return PairedRecord(
        machine=_machine(environment),
        release=environment.target.release or "",
        requests=load.requests,
        concurrency=load.concurrency,
        blocks=blocks,
    )


def _both(base: Case, head: Case, block: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Return the values of a block that both have in each round; the geometric mean over the rounds."""
    places = range(block * rounds, (block + 1) * rounds)
    figures = {}
    for name in KEPT:
        before = [base.iterations[place].metrics.get(name, 0.0) for place in places]
        after = [head.iterations[place].metrics.get(name, 0.0) for place in places]
        if min(*before, *after) > 0:
            figures[name] = (geometric_mean(before), geometric_mean(after))
    return figures


def condense_stored(directories: Sequence[Path]) -> StoredRecord:
    """Join the values of runs, as a baseline stores them.

    For a variant of a comparison, each block becomes a short run of a freshly started gateway.
    """
    first: Run | None = None
    runs = []
    for directory in directories:
        run = load_run(directory)
        first = _require_same_load(first, run, directory)
        valid = [case for case in run.cases if case.validity is Validity.VALID and case.kind != "difference"]
        if run.variant is None:
            figures = [{case.id: case_figures(case) for case in valid}]
        else:
            rounds = run.variant.rounds
            shared = min((len(case.iterations) // rounds for case in valid), default=0)
            figures = [
                {case.id: case_figures(_of_block(case, block, rounds)) for case in valid} for block in range(shared)
            ]
        runs += [
            StoredRun(control_score=run.environment.machine.control_score, cases=_kept(cases)) for cases in figures
        ]
    assert first is not None, "argparse asks for at least one directory"
    return StoredRecord(
        machine=_machine(first.environment),
        release=first.environment.target.release or "",
        requests=first.environment.load.requests,
        concurrency=first.environment.load.concurrency,
        runs=runs,
    )


def _of_block(case: Case, block: int, rounds: int) -> Case:
    """Return a case with the iterations of one block only."""
    return case.model_copy(update={"iterations": case.iterations[block * rounds : (block + 1) * rounds], "metrics": {}})


def _kept(cases: dict[str, MetricValues]) -> dict[str, MetricValues]:
    return {case: {name: value for name, value in figures.items() if name in KEPT} for case, figures in cases.items()}


def _require_same_load(first: Run | None, run: Run, directory: Path) -> Run:
    """Return the first of the runs; raises if the load of ``run`` differs from it."""
    if first is not None and first.environment.load != run.environment.load:
        raise UserError(f"{directory}: has another load than {first.run_id}; recorded data must have the same load")
    return first or run


def _machine(environment: Environment) -> str:
    return f"{environment.machine.cpu_model}, {environment.machine.cores} cores"


# ---------------------------------------------------------------------------------------------------------------------
# The program


def main(arguments: list[str] | None = None) -> ExitCode:
    """Condense recordings, or judge suites and print the results; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", type=Path, nargs="*", metavar="DIR", help="with --condense: what to read")
    parser.add_argument("--condense", choices=["paired", "stored"], help="only create a recorded file")
    parser.add_argument("--recorded", type=Path, default=RECORDED, metavar="DIR", help="where the recorded files are")
    parser.add_argument("--suites", type=int, default=200, metavar="N", help="suites for each result (200)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="seed; the same gives the same results (1)")
    parser.add_argument("--blocks", type=int, default=8, metavar="K", help="planned blocks of the paired mode (8)")
    options = parser.parse_args(arguments)
    if (options.condense is None) != (not options.directories):
        parser.error("--condense and directories go together")
    if options.suites < 1 or options.blocks < FIRST_LOOK:
        parser.error(f"--suites is at least 1, --blocks at least {FIRST_LOOK}")
    if options.condense is not None:
        options.recorded.mkdir(parents=True, exist_ok=True)
        path = options.recorded / f"{options.condense}_aa.json"
        make = condense_paired if options.condense == "paired" else condense_stored
        store.save(path, make(options.directories))
        print(f"Written: {path}")
        return ExitCode.OK
    limits = load_settings(environ={}).config.baselines
    report = Report(options.suites)
    paired = store.load(options.recorded / "paired_aa.json", PairedRecord, "recorded comparison")
    stored = store.load(options.recorded / "stored_aa.json", StoredRecord, "recorded runs")
    if len(paired.blocks) < FIRST_LOOK or len(stored.runs) < 2:
        raise UserError(f"{options.recorded}: too few recordings; at least {FIRST_LOOK} blocks and 2 runs are needed")
    _paired_report(Paired(paired, options.blocks), limits, report, options.seed)
    _stored_report(Stored(stored), limits, report, options.seed)
    print("Every promise is kept." if report.kept else "A promise is not kept.")
    return ExitCode.OK if report.kept else ExitCode.REGRESSION


if __name__ == "__main__":
    run_program(main)
