"""Format a run's comparison for reports: changes, intervals, thresholds and detectable changes.

Signs follow :class:`~benchkit.model.MetricComparison`: a change for the worse is negative, even for metrics where more
is worse.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchkit import number_format
from benchkit.model import METRICS, CaseComparison, Comparison, MetricComparison, Tone, Verdict
from benchkit.number_format import NO_BREAK, Cell, absent, plural
from benchkit.report.headline import sentence

_SMALLEST_TOLD = 0.0001
"""Smallest q that is shown; below it, readers learn nothing more."""


@dataclass(frozen=True)
class Badge:
    """A state: its word and its colour."""

    word: str
    tone: Tone


@dataclass(frozen=True)
class Change:
    """A metric's change, or a case's verdict (then without ``text``). ``badge`` is ``None`` for advisory metrics.

    ``interval`` is the 95 % interval of the change.
    """

    badge: Badge | None
    text: str = ""
    interval: str = ""
    title: str = ""


@dataclass(frozen=True)
class Mode:
    """The wording of a comparison: the table's ``heading``, its two column names, and the unit that is repeated."""

    heading: str
    reference: str
    current: str
    noun: str


STORED = Mode("Against the baseline", "baseline", "this run", "run")
PAIRED = Mode("Against the base gateway, block by block", "base", "head", "block")


@dataclass(frozen=True)
class ComparedRow:
    """One metric of a case and its reference; ``note`` is the evidence for the verdict."""

    label: str
    reference: Cell
    current: Cell
    change: Change
    threshold: Cell
    detectable: Cell
    decided_by: Cell
    note: str


@dataclass(frozen=True)
class SuiteRow:
    """A metric's change over all gating cases."""

    label: str
    change: Change


def mode_of(comparison: Comparison) -> Mode:
    """Return the wording for a comparison with stored runs, or for one side by side."""
    return PAIRED if comparison.mode == "paired" else STORED


def verdict_badge(verdict: Verdict) -> Badge:
    """Return a verdict's word and colour."""
    return Badge(verdict.value, verdict.row.tone)


def case_change(compared: CaseComparison | None) -> Change | None:
    """Return a case's verdict; ``None`` if it was not compared."""
    if compared is None:
        return None
    return Change(verdict_badge(compared.verdict), title=compared.reason)


def metric_change(name: str, entry: MetricComparison) -> Change:
    """Return a metric's verdict and change, with the interval if there is one."""
    return Change(
        None if entry.advisory else verdict_badge(entry.verdict),
        number_format.better_or_worse(METRICS[name], entry.change_percent),
        number_format.signed_interval(METRICS[name], entry.interval),
        entry.reason or ("shown only: it does not affect the verdict" if entry.advisory else ""),
    )


# ---------------------------------------------------------------------------------------------------------------------
# A case's table


def compared_rows(compared: CaseComparison, mode: Mode) -> list[ComparedRow]:
    """Return a row for each metric of a case, then rows for the comparison with the oldest accepted runs."""
    rows = [_row(name, entry, mode, METRICS[name].heading) for name, entry in compared.metrics.items()]
    rows += [
        _row(name, entry, mode, f"{METRICS[name].heading}, since the oldest accepted runs")
        for name, entry in compared.since_oldest.items()
    ]
    return rows


def _row(name: str, entry: MetricComparison, mode: Mode, label: str) -> ComparedRow:
    unit = " points" if METRICS[name].absolute else ""
    threshold = absent("no threshold applied")
    if entry.threshold_percent is not None:
        threshold = Cell(f"{entry.threshold_percent:g}{unit}")
    detectable = absent("no noise estimate")
    if entry.detectable_percent is not None:
        detectable = Cell(f"{number_format.significant(entry.detectable_percent, 1)}")
    return ComparedRow(
        label=label,
        reference=_value(name, entry.reference, f"{mode.reference} has none"),
        current=_value(name, entry.current, "not measured"),
        change=metric_change(name, entry),
        threshold=threshold,
        detectable=detectable,
        decided_by=_decided_by(entry, mode),
        note=_rests_on(entry, mode),
    )


def _value(name: str, value: float | None, why: str) -> Cell:
    return absent(why) if value is None else Cell(number_format.metric(name, value))


def _decided_by(entry: MetricComparison, mode: Mode) -> Cell:
    if entry.advisory:
        return absent("shown only: it does not affect the verdict")
    if entry.verdict is not Verdict.INCONCLUSIVE:
        return absent("already decided")
    if entry.decided_by is None:
        return Cell(f"too noisy for any number of {mode.noun}s{': compare side by side' if mode is STORED else ''}")
    return Cell(plural(entry.decided_by, mode.noun))


def _rests_on(entry: MetricComparison, mode: Mode) -> str:
    """``q = 0.003, 8 blocks that differ by 2.1 %``; the reason if there is no interval."""
    if entry.interval is None:
        return entry.reason
    parts = []
    if entry.q_value is not None:
        parts.append(f"q = {entry.q_value:.2g}" if entry.q_value >= _SMALLEST_TOLD else f"q < {_SMALLEST_TOLD:g}")
    if entry.samples is not None:
        spread = "" if entry.spread_percent is None else f", deviation {entry.spread_percent:g} %"
        parts.append(f"{plural(entry.samples, mode.noun)}{spread}")
    if entry.explanation:
        parts.append(entry.explanation)
    return ", ".join(parts)


# ---------------------------------------------------------------------------------------------------------------------
# The whole comparison


def suite_rows(comparison: Comparison) -> list[SuiteRow]:
    """Return the changes over all cases, against the newest and against the oldest accepted runs."""
    return [
        SuiteRow(f"{METRICS[name].label}{' since the oldest runs' if oldest else ''}", metric_change(name, entry))
        for name, entry, oldest in comparison.together()
    ]


def thresholds(comparison: Comparison) -> str:
    """``p50 10 %, req/s 10 %, errors 0.1 points``: thresholds of the gating metrics; a range if cases differ."""
    limits: dict[str, set[float]] = {}
    for name, entry in _deciding(comparison):
        if entry.threshold_percent is not None:
            limits.setdefault(name, set()).add(entry.threshold_percent)
    parts = []
    for name, values in limits.items():
        low, high = min(values), max(values)
        span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        parts.append(f"{METRICS[name].label} {span}{NO_BREAK}{'points' if METRICS[name].absolute else '%'}")
    return ", ".join(parts)


def could_be_seen(comparison: Comparison) -> str:
    """State the smallest change that such a comparison detects with 80 % power; empty if nothing was judged."""
    limits: dict[str, list[float]] = {}
    for name, entry in _deciding(comparison):
        if entry.detectable_percent is not None:
            limits.setdefault(name, []).append(entry.detectable_percent)
    if not limits:
        return ""
    words = [f"{METRICS[name].label} {_range(values)} %" for name, values in limits.items()]
    return sentence(
        f"With this noise and {plural(comparison.hypotheses, 'test')}, 4 of 5 such comparisons detect a change for the "
        f"worse of at least: {', '.join(words)} (depending on the case); smaller ones are detected less often"
    )


def _deciding(comparison: Comparison) -> list[tuple[str, MetricComparison]]:
    return [(name, entry) for case in comparison.cases for name, entry in case.metrics.items() if not entry.advisory]


def _range(values: list[float]) -> str:
    low, high = (number_format.significant(value, 1) for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"
