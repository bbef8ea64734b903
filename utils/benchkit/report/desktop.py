"""Whether and how a report opens in a browser."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path


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
