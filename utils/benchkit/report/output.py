"""Where a page goes: into a file, onto the terminal as its path, and into a browser where that is wanted."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path

from benchkit import store
from benchkit.settings import Reporting


def write_page(path: Path, html: str) -> None:
    """Write a page and print its path; raises :class:`~benchkit.errors.UserError` where it cannot be written."""
    store.write_text(path, html)
    print(path)


def write_and_open_page(path: Path, html: str, reporting: Reporting, *, asked: bool | None) -> None:
    """The same, and open the page where that is wanted; ``asked``: see :func:`wants_browser`."""
    write_page(path, html)
    if wants_browser(asked, reporting.open_browser):
        show(path)


def add_open_argument(parser: argparse.ArgumentParser) -> None:
    """The flag ``--open`` or ``--no-open``, for :func:`wants_browser`."""
    parser.add_argument(
        "--open",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="open the report in a browser, or don't (default: where there is a desktop and a terminal, never in CI)",
    )


def wants_browser(asked: bool | None, configured: bool) -> bool:
    """Whether to open it.

    ``asked``: the command line's word, which wins. Without one it opens where that is ``configured``
    (``reporting.open_browser``), on a terminal, where there is a desktop.
    """
    if asked is not None:
        return asked
    return configured and sys.stdout.isatty() and has_desktop(os.environ, sys.platform)


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
