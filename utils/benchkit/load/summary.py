"""Text output of a run: a summary per scenario in the style of load generators, and a table of all cases."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TextIO

from benchkit.load.cases import Detail
from benchkit.load.validity import TRANSPORT
from benchkit.model import METRICS, Case, Histogram, Run, Validity, derived_metrics, main_metrics
from benchkit.number_format import figure, fixed
from benchkit.text_table import text_table

_MAX_BARS = 14
_BAR_WIDTH = 40
_STAMP = re.compile(r"\d{4}-\d{2}-\d{2}-\d{6}")

ABSENT = "-"
ADVISORY_MARK = "~"


# ---------------------------------------------------------------------------------------------------------------------
# Text summary of a scenario


def summary_name(run: Run, scenario: str) -> str:
    """Return a file name like ``tools_2025-10-10-143000.txt`` with the run's time stamp."""
    stamp = _STAMP.search(run.run_id)
    return f"{scenario}_{stamp.group() if stamp else run.started.strftime('%Y-%m-%d-%H%M%S')}.txt"


def scenario_summary(run: Run, scenario: str, details: dict[str, Detail]) -> str:
    """Return the summary of a scenario, with one block per case."""
    load, target = run.environment.load, run.environment.target
    cases = [case for case in run.cases if case.scenario == scenario]
    loop = "closed loop" if all(case.closed_loop for case in cases) else "open loop"
    gateway = f"{target.base_url}{target.prefix}" + (f", release {target.release}" if target.release else "")
    lines = [
        f"{scenario}: run {run.run_id} ({run.status})",
        f"Gateway: {gateway}",
        f"Load: profile {load.profile}, {loop}, {load.requests} requests, {load.concurrency} at a time, "
        f"{load.iterations} iterations",
        "Latencies are of successes, percentiles interpolated between samples; Requests/sec are successes per second.",
    ]
    for case in cases:
        lines += ["", "", *_block(case, details.get(case.id, Detail()))]
    return "\n".join(lines) + "\n"


def _block(case: Case, detail: Detail) -> Iterator[str]:
    yield f"=== {case.id}" + (f": {case.description}" if case.description else "")
    if detail.command:
        yield f"    {detail.command}"
    yield from (f"    note: {note}" for note in case.notes)
    if case.validity is not Validity.VALID:
        yield ""
        yield f"{case.validity.upper()}: {case.reason}"
        return
    if case.kind == "difference" or case.counts is None:
        yield from _difference_lines(case)
        return
    yield from _summary_lines(case)
    if case.histogram:
        yield from ["", "Response time histogram (ms):", *_bars(case.histogram)]
    yield from ["", "Latency distribution:"]
    yield from (f"  {percent}% in {_seconds(value)}" for percent, value in detail.distribution.items())
    yield from ["", "Status code distribution:"]
    yield from (f"  [{status}]\t{number} responses" for status, number in sorted(detail.statuses.items()))
    silent = sum(one.errors.get(TRANSPORT, 0) for one in case.iterations)
    if silent:
        yield from ["", "Error distribution:", f"  [{silent}]\tno answer (refused, reset or timed out)"]
    yield from ["", "Counts:", f"  sent {case.counts.sent}, answered as expected {case.counts.ok}"]
    if case.counts.server is not None:
        yield f"  calls at the MCP servers {case.counts.server}, of which failed {case.counts.server_failed}"


def _summary_lines(case: Case) -> Iterator[str]:
    values = case.metrics
    yield from ["", "Summary:"]
    iterations = f" in {len(case.iterations)} iterations" if len(case.iterations) > 1 else ""
    yield f"  Total:\t{values['total_time']:.4f} secs{iterations}"
    yield f"  Slowest:\t{_seconds(values['max_latency'])}"
    yield f"  Fastest:\t{_seconds(values['min_latency'])}"
    yield f"  Average:\t{_seconds(values['mean_latency'])}"
    yield f"  Requests/sec:\t{values['requests_per_sec']:.4f}"
    if case.advisory:
        labels = ", ".join(METRICS[name].label for name in case.advisory)
        yield f"  Advisory:\t{labels} (fewer than 10 samples beyond)"


def _difference_lines(case: Case) -> Iterator[str]:
    yield from ["", "Difference:"]
    for name, value in case.metrics.items():
        yield f"  {METRICS[name].label}:\t{figure(METRICS[name], value)}"


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.4f} secs"


def _bars(histogram: Histogram) -> Iterator[str]:
    """Yield one line per bin; neighbouring bins are merged if there are too many."""
    width = -(-len(histogram.counts) // _MAX_BARS)
    edges = [*histogram.edges_ms[:-1:width], histogram.edges_ms[-1]]
    counts = [sum(histogram.counts[start : start + width]) for start in range(0, len(histogram.counts), width)]
    longest = max(counts)
    for (low, high), number in zip(pairwise(edges), counts, strict=True):
        squares = "■" * round(_BAR_WIDTH * number / longest)
        yield f"  {low:8.1f} - {high:8.1f} [{number}]\t|{squares}"


# ---------------------------------------------------------------------------------------------------------------------
# Table of all cases


@dataclass(frozen=True)
class Table:
    """Cells as text; the first and the last column are text, those between are numbers."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def tables(run: Run) -> list[Table]:
    """Return a table of measured cases and aggregates, and one of differences if there are any."""
    measured = [case for case in run.cases if case.kind != "difference"]
    differences = [case for case in run.cases if case.kind == "difference"]
    shown, derived = main_metrics(), derived_metrics()
    rows = [(case.id, *_share(case), *_values(case, shown), case.validity) for case in measured]
    result = [Table(("case", "requests", "ok %", *(METRICS[name].heading for name in shown), "validity"), rows)]
    if differences:
        added = [(case.id, *_values(case, derived), case.validity) for case in differences]
        result.append(Table(("difference", *(METRICS[name].heading for name in derived), "validity"), added))
    return result


def _share(case: Case) -> tuple[str, str]:
    """Return the number of requests sent, and the percentage of expected answers."""
    if case.counts is None or not case.counts.sent:
        return ABSENT, ABSENT
    percent = 100 * case.counts.ok / case.counts.sent
    # Rounded down to a tenth, because 99.97 must not look like 100.
    return str(case.counts.sent), f"{int(percent * 10) / 10:.1f}"


def _values(case: Case, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        value, row = case.metrics.get(name), METRICS[name]
        mark = ADVISORY_MARK if name in case.advisory else ""
        sign = "+" if row.difference_of and value is not None and value >= 0 else ""
        yield f"{mark}{sign}{fixed(row, value)}"


def remarks(run: Run) -> list[str]:
    """Return the lines below the table: legend, reasons, warnings, and how the run ended."""
    lines = []
    if any(case.advisory for case in run.cases):
        lines.append(f"{ADVISORY_MARK} advisory: fewer than 10 samples lie beyond the percentile")
    lines += [f"{case.validity} {case.id}: {case.reason}" for case in run.cases if case.reason]
    lines += [f"warning: {warning}" for warning in run.warnings]
    return [*lines, f"{run.run_id}: {run.exit_reason} (exit {run.exit_code})"]


def print_run(run: Run, stream: TextIO) -> None:
    """Print the table of all cases: with colours and lines on a terminal, else as aligned plain text."""
    if stream.isatty():
        _print_rich(run, stream)
        return
    for table in tables(run):
        lines = text_table([table.head, *table.rows], right=range(1, len(table.head) - 1))
        stream.write("\n".join(lines) + "\n\n")
    stream.write("\n".join(remarks(run)) + "\n")


def _print_rich(run: Run, stream: TextIO) -> None:
    # pylint: disable=import-outside-toplevel  # takes 0.2 s, and only a terminal needs it
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(file=stream, highlight=False)
    for table in tables(run):
        rich_table = RichTable()
        for column, title in enumerate(table.head):
            words = column in (0, len(table.head) - 1)
            rich_table.add_column(title, justify="left" if words else "right", no_wrap=not words, overflow="fold")
        for *cells, state in table.rows:
            rich_table.add_row(*map(escape, cells), Text(state, Validity(state).row.tone.style))
        console.print(rich_table)
    for line in remarks(run):
        console.print(line, markup=False)
