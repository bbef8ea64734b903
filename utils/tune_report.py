#!/usr/bin/env -S python3 -Es
"""Report the effect of each setting of the gateway, and write an env file with the settings and their effects.

  tune_report.py results/tune_2026-01-31-120000 [--env-file FILE]

DIR holds one directory for the unchanged gateway and one for each setting of paired.tune that ./run-advanced.sh --tune
measured. Writes tune.json, tune.txt and tune.html (charts) there and prints the text; --env-file also writes the
settings, each with its measured effect. A positive change is an improvement.

exit: 0 written; 2 usage, or a document is missing or damaged; 3 no case could be compared
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from benchkit import store
from benchkit.errors import ExitCode, run_program
from benchkit.model import METRICS, MetricComparison, StepComparison, VariantStudy, Verdict
from benchkit.number_format import change, change_within, interval
from benchkit.report.chart_library import chart_library
from benchkit.report.output import write_page
from benchkit.report.variants_page import variants_page
from benchkit.settings import Variant, load_settings
from benchkit.stack.topology import text_of
from benchkit.verdict.variant_study import tune

_METRIC = "p50_latency"
_NAMED = 4


def main() -> ExitCode:
    """Compare, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, metavar="DIR", help="results/tune_…")
    parser.add_argument("--env-file", type=Path, metavar="FILE", help="takes the settings with their effects")
    options = parser.parse_args()
    config = load_settings().config
    document = tune(options.directory, config.baselines)
    store.save(options.directory / "tune.json", document)
    text = "\n".join(tune_text(document)) + "\n"
    store.write_text(options.directory / "tune.txt", text)
    print(text, end="")
    if options.env_file is not None:
        store.write_text(options.env_file, "\n".join(env_lines(document, config.paired.tune)) + "\n")
        print(options.env_file)
    write_page(options.directory / "tune.html", variants_page(document, chart_library(config.reporting)))
    return ExitCode.OK if any(step.comparison.suite for step in document.steps) else ExitCode.INVALID


def tune_text(document: VariantStudy) -> list[str]:
    """Return the text: one line for each setting, and its cases that changed."""
    lines = [f"Settings {document.run_id}: {document.machine}; {document.load}", ""]
    for step in document.steps:
        lines.append(f"{step.head:<22} {effect(step)}")
        for case, compared in step.changed(_METRIC):
            moved = change(METRICS[_METRIC], compared.change_percent)
            lines.append(f"    {case:<44} {moved:>10}  ({interval(compared.interval)})")
    return lines


def effect(step: StepComparison) -> str:
    """Describe the effect of a setting on the median over all cases; only proven effects are claimed."""
    compared = step.overall(_METRIC)
    if compared is None or compared.change_percent is None:
        return f"not measured: {step.comparison.reason}"
    figures = f"{METRICS[_METRIC].label} {change_within(METRICS[_METRIC], compared.change_percent, compared.interval)}"
    return f"{_word(compared)}: {figures}"


def env_lines(document: VariantStudy, variants: dict[str, Variant]) -> list[str]:
    """Return the lines of ``.env.example``: helpful settings are set, others are comments with their cost."""
    base = document.variants[0]
    usual = ", ".join(f"{name}={value}" for name, value in sorted(base.settings.items()))
    lines = _comment(
        f"Settings of MCP Gateway {base.release or base.spec}, each with what it changed when it was measured against "
        f"the gateway without it (make tune): {document.machine}; {document.load}. The median latency (p50) over "
        f"{_cases(document)}; positive is better; in brackets the 95 % interval. Measure on your own machine: make tune"
    )
    lines += ["#", *_comment(f"The gateway without it: {usual or 'as it comes'}")]
    steps = {step.head: step for step in document.steps}
    for name, variant in variants.items():
        if name not in steps:
            continue
        step = steps[name]
        compared = step.overall(_METRIC)
        lines += ["", *_comment(f"{variant.description + '. ' if variant.description else ''}{effect(step)}")]
        mark = "" if compared is not None and compared.verdict is Verdict.IMPROVEMENT else "# "
        lines += [f"{mark}{key}={text_of(value)}" for key, value in variant.settings.items()]
    return lines


def _cases(document: VariantStudy) -> str:
    """``tools/list, tools/call``; only the number if there are many."""
    cases = list(document.variants[0].cases)
    return ", ".join(cases) if len(cases) <= _NAMED else f"{len(cases)} cases"


def _word(compared: MetricComparison) -> str:
    """Describe an effect in a few words.

    With many settings, some intervals exclude 0 by chance, so small effects are not claimed.
    """
    if compared.verdict.row.is_change:
        return "helps" if compared.verdict is Verdict.IMPROVEMENT else "costs"
    worse_end, better_end = compared.interval or (0.0, 0.0)
    if worse_end <= 0 <= better_end:
        return "no effect" if compared.verdict is Verdict.UNCHANGED else "undecided"
    if compared.verdict is Verdict.UNCHANGED:
        return "at most a little"
    return "probably helps" if worse_end > 0 else "probably costs"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


if __name__ == "__main__":
    run_program(main)
