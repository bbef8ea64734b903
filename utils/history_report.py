#!/usr/bin/env -S python3 -Es
"""Report between which two releases each case changed, and by how much.

  history_report.py results/history_2026-01-31-120000

DIR holds one directory for each release that ./run-advanced.sh --releases measured. Writes history.json, history.txt
and history.html (charts) there, and prints the text. A positive change is an improvement. A case that is broken in some
releases is a result for these releases.

exit: 0 written; 2 usage, or a document is missing or damaged; 3 a case is broken in every release, or none was measured
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchkit import store
from benchkit.errors import ExitCode, run_program
from benchkit.model import METRICS, MetricComparison, StepComparison, VariantStudy
from benchkit.number_format import change, interval
from benchkit.report.chart_library import chart_library
from benchkit.report.output import write_page
from benchkit.report.variants_page import broken_words, variants_page
from benchkit.settings import load_settings
from benchkit.verdict.variant_study import history

_SHOWN = ("p50_latency", "requests_per_sec")
_MOST_CASES = 12


def main() -> ExitCode:
    """Compare, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, metavar="DIR", help="results/history_…")
    directory: Path = parser.parse_args().directory
    config = load_settings().config
    document = history(directory, config.baselines)
    store.save(directory / "history.json", document)
    text = "\n".join(history_text(document)) + "\n"
    store.write_text(directory / "history.txt", text)
    print(text, end="")
    write_page(directory / "history.html", variants_page(document, chart_library(config.reporting)))
    measured = any(variant.cases for variant in document.variants)
    return ExitCode.OK if measured and not document.says_nothing else ExitCode.INVALID


def history_text(document: VariantStudy) -> list[str]:
    """Return the text: every release compared with the first, then every step with its changes."""
    first = document.variants[0]
    lines = [f"Release history {document.run_id}: {document.machine}; {document.load}", ""]
    lines.append(
        f"{'release':<16} {'cases':>5} {'p50':>9} {'req/s':>9}   (median over the cases, in % of {first.label})"
    )
    for variant in document.variants:
        ratios = [variant.ratio_to(first, name) for name in _SHOWN]
        shown = " ".join(f"{'-' if one is None else f'{100 * one:.0f} %':>9}" for one in ratios)
        lines.append(f"{variant.label:<16} {len(variant.cases):>5} {shown}")
    if document.broken:
        lines += ["", "Broken:"]
        for case, variants in document.broken.items():
            lines.append(f"  {case}: {broken_words(document, case)}")
            lines += [f"    {variant.label}: {variant.failed[case]}" for variant in variants]
    for step in document.steps:
        lines += ["", *step_text(step)]
    failed = [
        (variant.label, case, why)
        for variant in document.variants
        for case, why in variant.failed.items()
        if case not in variant.broken
    ]
    if failed:
        lines += ["", "Not measured:"]
        lines += [f"  {label}: {case}: {why}" for label, case, why in failed]
    return lines


def step_text(step: StepComparison) -> list[str]:
    """Describe one step: its verdict, the mean over all cases, and the changed cases, the largest change first."""
    lines = [f"{step.base} → {step.head}: {step.comparison.reason}"]
    for name, compared in step.comparison.suite.items():
        lines.append(f"  {METRICS[name].label + ' over all cases':<44} {_moved(name, compared)}")
    for name in _SHOWN:
        found = step.changed(name)
        for case, compared in found[:_MOST_CASES]:
            what = f"{case} {METRICS[name].label}"
            lines.append(f"  {what:<44} {_moved(name, compared)}  {compared.verdict.value}")
        if len(found) > _MOST_CASES:
            lines.append(f"  and {len(found) - _MOST_CASES} more changes of {METRICS[name].label}")
    return lines


def _moved(name: str, compared: MetricComparison) -> str:
    return f"{change(METRICS[name], compared.change_percent):>10}  ({interval(compared.interval)})"


if __name__ == "__main__":
    run_program(main)
