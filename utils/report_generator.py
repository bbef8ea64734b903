"""Write the report of a run, or a page about several runs: one HTML file that works offline.

  report_generator.py RUN_DIR                                the run's report
  report_generator.py RUN_DIR RUN_DIR ...                    a comparison of the runs; the first is the reference
  report_generator.py --page scalability RUN_DIR ...         over MCP servers or concurrency, the knee marked
  report_generator.py --page database RUN_DIR ...            SQLite compared with PostgreSQL

Reads only run.json and, if it exists, comparison.json of a run's directory. A directory that contains several runs (a
comparison of gateways, a release history) stands for all of them. Prints the page's path. The section `reporting` of
config.yaml sets the charts and whether a browser opens.

exit: 0 written; 2 there is no such run, a document is damaged, the runs do not fit the page, or it cannot be written.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchkit import store
from benchkit.errors import ExitCode, UserError, run_program
from benchkit.model import Comparison, Run
from benchkit.report.chart_library import chart_library
from benchkit.report.frame import fill_page
from benchkit.report.output import add_open_argument, write_and_open_page
from benchkit.report.view import build_page
from benchkit.run.pages import PAGES, page_of
from benchkit.settings import ROOT, load_settings
from benchkit.verdict.runs import holds_several


def main() -> ExitCode:
    """Read, render, write, and open a browser if wanted."""
    arguments = _parser().parse_args()
    reporting = load_settings().config.reporting
    kind = arguments.page or ("run" if is_one_run(arguments.run_dir) else "compare")
    _check_flags(arguments, kind)
    if kind == "run":
        run, comparison = read_documents(arguments.run_dir[0], arguments.comparison)
        page = build_page(run, comparison, reporting.chart_types, chart_library(reporting))
        html = fill_page(ROOT / reporting.html_template, page.frame, {"page": page}, page.plots)
    else:
        html = page_of(kind, arguments.run_dir, arguments.reference or 1, chart_library(reporting))
    output = arguments.output or default_output(kind, arguments.run_dir[0])
    write_and_open_page(output, html, reporting, asked=arguments.open)
    return ExitCode.OK


def is_one_run(directories: Sequence[Path]) -> bool:
    """Return whether there is exactly one run; one directory may contain several."""
    return len(directories) == 1 and not holds_several(directories[0])


def default_output(kind: str, first: Path) -> Path:
    """Return the default path of a page: in the directory of the run or runs, else next to the first run."""
    if kind == "run":
        return first / "report.html"
    return (first if holds_several(first) else first.resolve().parent) / f"{kind}.html"


def _check_flags(arguments: argparse.Namespace, kind: str) -> None:
    if kind == "run" and len(arguments.run_dir) > 1:
        raise UserError(f"--page run: takes one run, and {len(arguments.run_dir)} are given; leave the others out")
    if kind != "run" and arguments.comparison is not None:
        raise UserError("--comparison: belongs to the report of one run; other pages find their comparisons themselves")
    if kind != "compare" and arguments.reference is not None:
        raise UserError("--reference: belongs to --page compare")


def read_documents(run_dir: Path, comparison_file: Path | None = None) -> tuple[Run, Comparison | None]:
    """Return the run and its comparison, which is next to it or in another file.

    Raises:
        UserError: a document is missing or damaged, or the comparison belongs to another run.
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "run_dir",
        metavar="RUN_DIR",
        type=Path,
        nargs="+",
        help="directory of a run, like results/latest, or of several",
    )
    parser.add_argument(
        "--page", choices=["run", *PAGES], help="what to write (default: run for one run, compare for several)"
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help="where to write (default: RUN_DIR/report.html; PAGE.html next to the first run, or in its group)",
    )
    parser.add_argument(
        "--reference", metavar="N", type=int, help="compare: the run that the others are compared with (default: 1)"
    )
    parser.add_argument(
        "--comparison", metavar="FILE", type=Path, help="the run's comparison (default: RUN_DIR/comparison.json)"
    )
    add_open_argument(parser)
    return parser


if __name__ == "__main__":
    run_program(main)
