"""Write the report of a run: one HTML file that works offline.

Reads run.json and, where it is there, comparison.json of the run's directory, and nothing else of it. Prints the
report's path. The section `reporting` of config.yaml says which charts there are and whether a browser opens.

exit: 0 written; 2 there is no such run, a document is damaged, or the report cannot be written.
"""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path

from benchkit import store
from benchkit.errors import ExitCode, UserError, run_program
from benchkit.model import Comparison, Run
from benchkit.report.chart_library import read_chart_library
from benchkit.report.render import render
from benchkit.report.view import build_page
from benchkit.settings import ROOT, load_settings


def main() -> ExitCode:
    """Read, render, write, and show where that is wanted."""
    arguments = _parser().parse_args()
    reporting = load_settings().config.reporting
    run, comparison = read_documents(arguments.run_dir, arguments.comparison)
    library, charts_off = None, "Charts are switched off (reporting.include_charts)."
    if reporting.include_charts:
        library, charts_off = read_chart_library()
    page = build_page(run, comparison, reporting.chart_types, charts_off)
    output = arguments.output or arguments.run_dir / "report.html"
    store.write_text(output, render(page, ROOT / reporting.html_template, library))
    print(output)
    wanted = arguments.open
    if wanted is None:
        wanted = reporting.open_browser and sys.stdout.isatty() and has_desktop(os.environ, sys.platform)
    if wanted:
        show(output)
    return ExitCode.OK


def read_documents(run_dir: Path, comparison_file: Path | None = None) -> tuple[Run, Comparison | None]:
    """The run, and the comparison that belongs to it: beside it, or in another file.

    Raises:
        UserError: a document is missing or damaged, or the comparison is another run's.
    """
    run = store.load(run_dir / "run.json", Run, "run")
    path = comparison_file or run_dir / "comparison.json"
    if comparison_file is None and not path.exists():
        return run, None
    comparison = store.load(path, Comparison, "comparison")
    if comparison.run_id != run.run_id:
        raise UserError(
            f"{path}: the comparison is of run {comparison.run_id}, and this is run {run.run_id}; compare again or "
            "delete the file"
        )
    return run, comparison


def has_desktop(environ: Mapping[str, str], platform: str) -> bool:
    """Whether a browser has somewhere to open; never in CI."""
    if environ.get("CI"):
        return False
    return platform == "darwin" or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def show(path: Path) -> None:
    """Open the report in a browser. A report that nobody could open is still a report, so this never fails."""
    try:
        opened = webbrowser.open(path.resolve().as_uri())
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        print("warning: no browser could be opened", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="directory of a run, like results/latest")
    parser.add_argument("--output", metavar="FILE", type=Path, help="where to write (default: RUN_DIR/report.html)")
    parser.add_argument(
        "--comparison", metavar="FILE", type=Path, help="the run's comparison (default: RUN_DIR/comparison.json)"
    )
    parser.add_argument(
        "--open",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="open the report in a browser, or don't (default: where there is a desktop and a terminal, never in CI)",
    )
    return parser


if __name__ == "__main__":
    run_program(main)
