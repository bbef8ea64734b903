"""Write a page to a file, print its path, and open it in a browser if wanted."""

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
    """Write a page and print its path; raises :class:`~benchkit.errors.UserError` if it cannot be written."""
    store.write_text(path, html)
    print(path)


def write_and_open_page(path: Path, html: str, reporting: Reporting, *, asked: bool | None) -> None:
    """Write a page, print its path, and open it if wanted; ``asked``: see :func:`wants_browser`."""
    write_page(path, html)
    if wants_browser(asked, reporting.open_browser):
        show(path)


def add_open_argument(parser: argparse.ArgumentParser) -> None:
    """Add the flag ``--open`` or ``--no-open``, for :func:`wants_browser`."""
    parser.add_argument(
        "--open",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="open the report in a browser, or don't (default: where there is a desktop and a terminal, never in CI)",
    )


def wants_browser(asked: bool | None, configured: bool) -> bool:
    """Return whether to open the page in a browser.

    ``asked``, the command line's flag, takes precedence. Without it, the page opens if ``configured``
    (``reporting.open_browser``) and the program runs on a terminal and a desktop.
    """
    if asked is not None:
        return asked
    return configured and sys.stdout.isatty() and has_desktop(os.environ, sys.platform)


def has_desktop(environ: Mapping[str, str], platform: str) -> bool:
    """Return whether a browser can open a window; never in CI."""
    if environ.get("CI"):
        return False
    return platform == "darwin" or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def show(path: Path) -> None:
    """Open the report in a browser. The report is usable without one, so this never fails."""
    try:
        opened = webbrowser.open(path.resolve().as_uri())
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        print("warning: no browser could be opened", file=sys.stderr)
