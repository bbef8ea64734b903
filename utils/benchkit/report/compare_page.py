"""Pages that show runs next to each other: one compares several runs, one compares databases.

These pages make no verdicts. If a comparison judged two of the runs, its verdicts are shown. All other differences are
estimates, and the page says how to get a verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from statistics import median

from benchkit.ended import tally_of
from benchkit.model import METRICS, Case, Comparison, Run, Tone, Validity, derived_metrics, main_metrics
from benchkit.number_format import TIMES
from benchkit.report.chart_library import ChartLibrary
from benchkit.report.charts import Plots
from benchkit.report.comparison_table import (
    NOT_JUDGED,
    Column,
    Outcome,
    bars,
    case_keys,
    columns_table,
    outcomes,
    reasons,
)
from benchkit.report.comparison_view import Badge
from benchkit.report.frame import Frame, fill_page
from benchkit.report.headline import sentence

HOW_TO_JUDGE = (
    "A verdict needs two gateways that were measured side by side (./run-advanced.sh --base … --head …), or a baseline "
    "(make baseline, then make baseline-compare)."
)

_ESTIMATES = " Differences marked ≈ are estimates and were not judged: noise alone can cause them."


@dataclass(frozen=True)
class SideBySide:
    """A run on the page: its label, its comparison with the reference, and how its conditions differ.

    ``load``, ``machine`` and ``lesser`` are lines like ``requests 100 → 200``; empty for the reference itself.
    """

    label: str
    run: Run
    comparison: Comparison | None
    load: Sequence[str]
    machine: Sequence[str]
    lesser: Sequence[str]


@dataclass(frozen=True)
class RunFacts:
    """A row in the table of runs."""

    label: str
    note: str
    facts: list[str]
    state: Badge


_FACTS = ("profile", "load", "gateway", "database", "MCP servers", "started", "cases valid")


def compare_page(sides: Sequence[SideBySide], reference: int, library: ChartLibrary) -> str:
    """Return the HTML of several runs; ``reference`` is the index of the run that the others are compared with.

    Raises:
        UserError: as :func:`benchkit.report.frame.fill_page`.
    """
    columns = [
        Column(
            side.label, outcomes(side.run), {case.id: case for case in side.comparison.cases} if side.comparison else {}
        )
        for side in sides
    ]
    first = sides[reference]
    word, tone, said = _finding(sides, reference)
    notes = [said] if said else []
    for side in sides:
        if side.load:
            notes.append(f"Not the same load: {side.label} against {first.label}: {'; '.join(side.load)}.")
        if side.machine:
            notes.append(f"Not the same machine: {side.label} against {first.label}: {'; '.join(side.machine)}.")
    judged = all(side.comparison for place, side in enumerate(sides) if place != reference)
    if not judged:
        notes.append(HOW_TO_JUDGE)
    frame = Frame(
        title="Comparison of runs",
        subject=f"{len(sides)} runs",
        target=_target([side.run for side in sides]),
        tone=tone,
        word=word,
        sentence=_sentence(sides, reference),
        notes=notes,
        footer="Every value on this page is in the run.json of its run.",
    )
    context = {
        "heads": _FACTS,
        "facts": [_facts(side, "reference" if place == reference else "") for place, side in enumerate(sides)],
        "lesser": [(side.label, side.lesser) for side in sides if side.lesser],
        "lead": f"Below each value: its difference from {first.label}.{'' if judged else _ESTIMATES}",
    }
    return _page(frame, context, columns, [side.run for side in sides], library, reference=reference)


def _finding(sides: Sequence[SideBySide], reference: int) -> tuple[str, Tone, str]:
    """Return the word above the page, its tone, and a sentence with the comparisons' findings."""
    judged = [side for place, side in enumerate(sides) if place != reference and side.comparison]
    if not judged:
        return NOT_JUDGED.capitalize(), Tone.PLAIN, ""
    said = " ".join(
        f"{side.label} against {sides[reference].label}: {one.verdict.value}; {sentence(one.reason)}"
        for side in judged
        if (one := side.comparison)
    )
    verdicts = {side.comparison.verdict for side in judged if side.comparison}
    tones = {verdict.row.tone for verdict in verdicts}
    tone = next(one for one in (Tone.BAD, Tone.WARN, Tone.GOOD, Tone.PLAIN) if one in tones)
    if len(judged) == len(sides) - 1 == 1:
        row = next(iter(verdicts)).row
        return row.headline, row.headline_tone, said
    return f"{len(judged)} of {len(sides) - 1} judged", tone, said


def _sentence(sides: Sequence[SideBySide], reference: int) -> str:
    others = [side for place, side in enumerate(sides) if place != reference]
    whom = others[0].label if len(others) == 1 else f"{len(others)} runs"
    judged = sum(side.comparison is not None for side in others)
    text = f"{whom} compared with {sides[reference].label}"
    if any(side.load for side in others):
        text += ", under different loads"
    if judged == len(others):
        return f"{text}."
    rest = "differences" if not judged else "the other differences"
    return f"{text}: {rest} are estimates without a verdict."


def _target(runs: Sequence[Run]) -> str:
    machines = dict.fromkeys(f"{one.cpu_model}, {one.cores} cores" for one in (run.environment.machine for run in runs))
    return "; ".join(machines)


def _facts(side: SideBySide, note: str) -> RunFacts:
    run = side.run
    load, target = run.environment.load, run.environment.target
    tally = tally_of([run])
    facts = [
        run.profile,
        f"{load.requests} {TIMES} {load.iterations}, {load.concurrency} concurrent",
        target.release or "unknown",
        " ".join(part for part in (target.database, target.database_version) if part) or "unknown",
        str(target.servers),
        f"{run.started.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        f"{tally.valid} of {tally.measured}",
    ]
    tone = Tone.GOOD if run.status.value == "complete" else Tone.WARN
    notes = [text for text in (note, run.run_id if run.run_id != side.label else "") if text]
    return RunFacts(side.label, ", ".join(notes), facts, Badge(run.status.value, tone))


def _page(
    frame: Frame,
    context: Mapping[str, object],
    columns: Sequence[Column],
    runs: Sequence[Run],
    library: ChartLibrary,
    *,
    reference: int = 0,
    as_ratio: bool = False,
) -> str:
    cases = case_keys(runs, differences=False)
    differences = case_keys(runs, differences=True)
    plots = Plots(library)
    whole = {
        **context,
        "table": columns_table(
            columns, reference, cases, main_metrics(), difference="ratio" if as_ratio else "percent"
        ),
        "differences": columns_table(columns, reference, differences, derived_metrics(), difference="")
        if differences
        else None,
        "reasons": reasons(columns, [*cases, *differences]),
        "charts": bars(plots, columns, cases, main_metrics()),
    }
    return fill_page("compare.html", frame, whole, plots)


# ---------------------------------------------------------------------------------------------------------------------
# Databases


def database_page(groups: Mapping[str, Sequence[SideBySide]], library: ChartLibrary) -> str:
    """Return the HTML that compares databases; the first of ``groups`` (name to its runs) is the reference.

    For each case it shows the median over a database's runs and its ratio to the reference's. Nothing is judged.

    Raises:
        UserError: as :func:`benchkit.report.frame.fill_page`.
    """
    names = list(groups)
    sides = [side for inside in groups.values() for side in inside]
    runs = [side.run for side in sides]
    columns = [Column(name, _medians([side.run for side in inside], name)) for name, inside in groups.items()]
    first = sides[0]
    notes = [
        f"Not the same {what}: {side.label} against {first.label}: {'; '.join(lines)}."
        for side in sides
        for what, lines in (("load", side.load), ("machine", side.machine))
        if lines
    ]
    counted = ", ".join(
        f"{name}: {len(inside)} run{'' if len(inside) == 1 else 's'}" for name, inside in groups.items()
    )
    frame = Frame(
        title=f"{' against '.join(names[::-1])}",
        subject=counted,
        target=_target(runs),
        tone=Tone.PLAIN,
        word=NOT_JUDGED.capitalize(),
        sentence=f"{_ratio_sentence(columns)} These are estimates without a verdict.",
        notes=[*notes, HOW_TO_JUDGE],
        footer="Every value on this page is a median of values in the run.json of its runs.",
    )
    context = {
        "heads": _FACTS,
        "facts": [_facts(side, name) for name, inside in groups.items() for side in inside],
        "lesser": [(side.label, side.lesser) for side in sides if side.lesser],
        "lead": f"Medians over the runs of a database ({counted}). Below each value: its ratio to that of {names[0]}, "
        "an estimate that was not judged.",
    }
    return _page(frame, context, columns, runs, library, as_ratio=True)


def _medians(runs: Sequence[Run], name: str) -> dict[str, Outcome]:
    return {
        identity: _together([case for run in runs for case in run.cases if case.id == identity], name, len(runs))
        for identity in dict.fromkeys(case.id for run in runs for case in run.cases)
    }


def _together(cases: Sequence[Case], name: str, runs: int) -> Outcome:
    """Combine a case's outcomes of several runs; values are medians over the runs in which it is valid."""
    valid = [case for case in cases if case.validity is Validity.VALID]
    others = [case for case in cases if case.validity is not Validity.VALID]
    why = "; ".join(dict.fromkeys(f"{case.validity.value}: {case.reason or 'no reason'}" for case in others))
    if not valid:
        worst = Counter(case.validity for case in others).most_common(1)[0][0]
        return Outcome(Badge(worst.value, worst.row.tone), why.removeprefix(f"{worst.value}: "), {})
    figures = {
        metric: median(found)
        for metric in METRICS
        if (found := [case.metrics[metric] for case in valid if metric in case.metrics])
    }
    part = f"in {len(valid)} of {runs} runs" if len(valid) < runs else ""
    return Outcome(
        state=Badge(Validity.VALID.value, Tone.WARN if part else Tone.GOOD),
        reason=f"only {part}; {why or f'the others of {name} do not have it'}" if part else "",
        figures=figures,
        advisory=frozenset(metric for case in valid for metric in case.advisory),
        sent=sum(_counted(case)[0] for case in valid),
        ok=sum(_counted(case)[1] for case in valid),
        remark=part,
    )


def _counted(case: Case) -> tuple[int, int]:
    if case.counts:
        return case.counts.sent, case.counts.ok
    return sum(one.sent for one in case.iterations), sum(one.ok for one in case.iterations)


def _ratio_sentence(columns: Sequence[Column]) -> str:
    """State each database's median ratio of latency and of throughput to the reference, over the common cases."""
    base, *others = columns
    said = []
    for column in others:
        for metric, words in (("requests_per_sec", "the throughput"), ("p50_latency", "the median latency")):
            ratios = [
                outcome.figures[metric] / held
                for case, outcome in column.outcomes.items()
                if metric in outcome.figures
                and case in base.outcomes
                and (held := base.outcomes[case].figures.get(metric, 0.0)) > 0
            ]
            if ratios:
                said.append(f"{column.label} had {median(ratios):.2f} times {words} of {base.label}")
    if not said:
        return "No case was measured on both."
    return f"Over the cases of both, in the middle, {', and '.join(said)}."
