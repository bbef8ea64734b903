"""A table with cases as rows and groups of columns for the compared runs, gateways or databases.

A difference between two columns is shown as an estimate, unless a comparison judged it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from benchkit import number_format
from benchkit.model import METRICS, Case, CaseComparison, MetricValues, Run, Tone, Validity, needed_samples
from benchkit.number_format import TIMES, Cell, absent
from benchkit.report.charts import Axis, Drawn, Plot, Plots, Series, colour
from benchkit.report.comparison_view import Badge, Change, metric_change
from benchkit.report.headline import sentence

NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class CaseKey:
    """A case of the rows: its id, and its name within its scenario."""

    id: str
    scenario: str
    name: str


@dataclass(frozen=True)
class Outcome:
    """What one column shows of one case. ``figures`` is empty unless the case is valid.

    ``remark`` is shown below the state. ``ok`` of ``sent`` requests succeeded, over all runs of the column.
    """

    state: Badge
    reason: str
    figures: MetricValues
    advisory: frozenset[str] = frozenset()
    sent: int = 0
    ok: int = 0
    remark: str = ""


@dataclass(frozen=True)
class Column:
    """A run, or several combined: the outcomes of their cases, and the comparison with the reference.

    ``report``: the address of its own report, empty if it has none.
    """

    label: str
    outcomes: Mapping[str, Outcome]
    compared: Mapping[str, CaseComparison] = field(default_factory=dict)
    report: str = ""

    def link(self, case: str) -> str:
        """Return the link to a case's details; empty if there are none."""
        return f"{self.report}#{quote(case)}" if self.report and case in self.outcomes else ""


@dataclass(frozen=True)
class Entry:
    """One cell: its text, the bare number (empty if there is none), and what is shown below it.

    ``estimate`` is a difference that nothing judged, ``change`` a difference that a comparison judged.
    """

    cell: Cell
    value: str
    estimate: str = ""
    change: Change | None = None


@dataclass(frozen=True)
class CellGroup:
    """A case in one column group; the reference has no ``verdict``. ``link``: to the case's details."""

    entries: list[Entry]
    success: Entry | None
    state: Badge
    reason: str
    remark: str
    verdict: Badge | None
    link: str


@dataclass(frozen=True)
class ColumnsRow:
    """A row: one case."""

    id: str
    name: str
    groups: list[CellGroup]


@dataclass(frozen=True)
class ColumnsTable:
    """The table. ``over``: label and number of columns of each column group; ``heads``: the names of the columns."""

    over: list[tuple[str, int]]
    heads: list[list[str]]
    scenarios: list[tuple[str, list[ColumnsRow]]]
    advisory: bool
    width: int


@dataclass(frozen=True)
class Reason:
    """Why a column has no values for a case."""

    case: str
    column: str
    state: Badge
    reason: str


# ---------------------------------------------------------------------------------------------------------------------
# Outcomes


def outcomes(run: Run) -> dict[str, Outcome]:
    """Return the outcome of every case of a run. This function drops the values of cases that are not valid."""
    return {case.id: _outcome(case) for case in run.cases}


def _outcome(case: Case) -> Outcome:
    valid = case.validity is Validity.VALID
    return Outcome(
        state=Badge(case.validity.value, case.validity.row.tone),
        reason=case.reason,
        figures=case.metrics if valid else {},
        advisory=frozenset(case.advisory),
        sent=case.counts.sent if case.counts else sum(one.sent for one in case.iterations),
        ok=case.counts.ok if case.counts else sum(one.ok for one in case.iterations),
    )


def not_measured(what: str) -> Outcome:
    """Return the outcome of a case that a column does not have."""
    return Outcome(Badge("not measured", Tone.PLAIN), f"not part of {what}", {})


# ---------------------------------------------------------------------------------------------------------------------
# The tables


def case_keys(runs: Iterable[Run], *, differences: bool) -> list[CaseKey]:
    """Return every case of the runs once, in order: either the measured cases or the differences of two cases."""
    found: dict[str, CaseKey] = {}
    for run in runs:
        for case in run.cases:
            if (case.kind == "difference") == differences:
                found.setdefault(case.id, CaseKey(case.id, case.scenario, case.name))
    return list(found.values())


def _by_scenario(cases: Sequence[CaseKey]) -> dict[str, list[CaseKey]]:
    groups: dict[str, list[CaseKey]] = {}
    for case in cases:
        groups.setdefault(case.scenario, []).append(case)
    return groups


def columns_table(
    columns: Sequence[Column],
    reference: int | None,
    cases: Sequence[CaseKey],
    metrics: Sequence[str],
    *,
    difference: Literal["percent", "ratio", ""] = "percent",
) -> ColumnsTable:
    """Return the table of all cases in all columns.

    Args:
        columns: at least one.
        reference: index of the column that the others are compared with; ``None`` if each has its own baseline.
        cases: in the order of the rows.
        metrics: the metrics to show.
        difference: the form of estimates; empty for no estimates and no verdicts.
    """
    own = [METRICS[name].heading for name in metrics]
    success = ["success %"] if difference else []
    judged = [*own, *success, "validity", "verdict"]
    plain = [*own, *success, "validity"]
    heads = [judged if difference and place != reference else plain for place in range(len(columns))]
    scenarios = {
        name: [_row(case, columns, reference, metrics, difference) for case in inside]
        for name, inside in _by_scenario(cases).items()
    }
    return ColumnsTable(
        over=[(column.label, len(names)) for column, names in zip(columns, heads, strict=True)],
        heads=heads,
        scenarios=list(scenarios.items()),
        advisory=any(
            entry.cell.advisory
            for rows in scenarios.values()
            for row in rows
            for group in row.groups
            for entry in group.entries
        ),
        width=1 + sum(map(len, heads)),
    )


def _row(
    case: CaseKey,
    columns: Sequence[Column],
    reference: int | None,
    metrics: Sequence[str],
    difference: Literal["percent", "ratio", ""],
) -> ColumnsRow:
    base = None if reference is None else columns[reference].outcomes.get(case.id)
    groups = []
    for place, column in enumerate(columns):
        found = column.outcomes.get(case.id) or not_measured(column.label)
        compared = column.compared.get(case.id)
        held = base.figures if base and difference and place != reference else {}
        entries = [_entry(found, name, held, compared, difference) for name in metrics]
        verdict = _verdict(compared, own=reference is None) if difference and place != reference else None
        success = _success(found) if difference else None
        groups.append(
            CellGroup(entries, success, found.state, found.reason, found.remark, verdict, column.link(case.id))
        )
    return ColumnsRow(case.id, case.name, groups)


def _verdict(compared: CaseComparison | None, *, own: bool) -> Badge:
    """Return the badge of a comparison. ``own``: each column has its own baseline."""
    if compared is None:
        return Badge("not compared" if own else NOT_JUDGED, Tone.PLAIN)
    return Badge(compared.verdict.value, compared.verdict.row.tone)


def _entry(
    found: Outcome,
    name: str,
    held: MetricValues,
    compared: CaseComparison | None,
    difference: Literal["percent", "ratio", ""],
) -> Entry:
    if name not in found.figures:
        return Entry(_why_absent(found), "")
    value = found.figures[name]
    advisory = name in found.advisory
    text = number_format.metric(name, value)
    cell = Cell(text, _scarce(name, found.ok), advisory=True) if advisory else Cell(text)
    shown = f"{100 * value if METRICS[name].unit == 'share' else value:.6g}"
    if compared is not None and name in compared.metrics:
        return Entry(cell, shown, change=metric_change(name, compared.metrics[name]))
    estimate = _estimate(value, held[name], difference) if name in held else ""
    return Entry(cell, shown, estimate=estimate)


def _why_absent(found: Outcome) -> Cell:
    if found.figures:
        return absent("not measured")
    return absent(f"{found.state.word}: {found.reason}" if found.reason else found.state.word)


def _scarce(name: str, successes: int) -> str:
    return f"advisory: {METRICS[name].label} needs {needed_samples(METRICS[name])} successes, this case has {successes}"


def _success(found: Outcome) -> Entry:
    if not found.figures or not found.sent:
        return Entry(_why_absent(found), "")
    return Entry(Cell(number_format.success(found.ok, found.sent)), f"{100 * found.ok / found.sent:.6g}")


def _estimate(value: float, reference: float, difference: Literal["percent", "ratio", ""]) -> str:
    """Format the difference from the reference's value, without a word that would be a verdict."""
    if value <= 0 or reference <= 0:
        return ""
    if difference == "ratio":
        return f"≈ {TIMES} {value / reference:.2f}"
    percent = 100 * (value / reference - 1)
    if float(f"{percent:.1f}") == 0:
        return "≈ the same"
    return f"≈ {number_format.significant(abs(percent), 1)} % {'higher' if percent > 0 else 'lower'}"


def reasons(columns: Sequence[Column], cases: Sequence[CaseKey]) -> list[Reason]:
    """Return every case without values, by column, with its state and reason."""
    found = []
    for case in cases:
        for column in columns:
            outcome = column.outcomes.get(case.id) or not_measured(column.label)
            if not outcome.figures or outcome.remark:
                why = sentence(outcome.reason) or "No reason was recorded."
                found.append(Reason(case.id, column.label, outcome.state, why))
    return found


# ---------------------------------------------------------------------------------------------------------------------
# The charts


def bars(
    plots: Plots, columns: Sequence[Column], cases: Sequence[CaseKey], metrics: Sequence[str]
) -> list[tuple[str, list[Drawn]]]:
    """Add grouped bar charts, one for each metric and scenario; cases without a value have no bar."""
    found = []
    for name in metrics:
        groups = _by_scenario(cases).items()
        drawn = [plots.add(_bars(columns, scenario, inside, name)) for scenario, inside in groups]
        found.append((_title(name), [one for one in drawn if one]))
    return [(title, drawn) for title, drawn in found if drawn]


def _bars(columns: Sequence[Column], scenario: str, cases: Sequence[CaseKey], name: str) -> Plot:
    return Plot(
        title=f"{scenario}: {_title(name)}",
        kind="bars",
        y=Axis(_title(name)),
        labels=[case.name for case in cases],
        series=[_bar_series(column, place, cases, name) for place, column in enumerate(columns)],
        horizontal=True,
    )


def _bar_series(column: Column, place: int, cases: Sequence[CaseKey], name: str) -> Series:
    found = [column.outcomes[one.id].figures.get(name) if one.id in column.outcomes else None for one in cases]
    nothing = all(value is None for value in found)
    return Series(f"{column.label} (no value)" if nothing else column.label, found, colour(place))


def _title(name: str) -> str:
    return METRICS[name].heading.replace(" ms", ", ms")
