"""Start a program of ``utils/`` isolated from the caller's Python, and never with exit code 1 by accident.

Python exits with 1 if an import fails, and here 1 means a regression. The shell scripts start Python with ``-Es``
(``utils/lib/environment.sh``). A program started by hand gets the same from :func:`begin`, which :mod:`benchkit` calls
before it imports anything else. This module uses only the standard library, because nothing else may be installed.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import TracebackType

_UTILS = Path(__file__).resolve().parents[1]
_OWN_PYTHON = _UTILS.parent / ".venv" / "bin" / "python"
_NEEDED = ("numpy", "psutil", "pydantic", "rich", "scipy", "supervisor", "yaml")
"""Packages of the toolkit's environment. Checking several detects a Python that has only some of them."""

_INTERRUPTED, _USAGE = 130, 2  # as in benchkit.errors, which is not imported yet


def begin() -> None:
    """Restart the program if it was started without ``-Es``, or by a Python without the toolkit's packages.

    Does nothing if the main program is not in ``utils/``, as in tests and benchmarks.
    """
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    if program is None or Path(program).resolve().parent != _UTILS:
        return
    sys.excepthook = _no_regression
    python = sys.executable
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        python = str(_OWN_PYTHON)
        if not _OWN_PYTHON.exists() or Path(sys.prefix) == _OWN_PYTHON.parents[1]:
            sys.stderr.write(
                f"error: {_OWN_PYTHON.parents[1]}: the toolkit's environment is not whole; run make setup\n"
            )
            sys.exit(_USAGE)
    elif sys.flags.ignore_environment and sys.flags.no_user_site:
        return
    os.execv(python, [python, "-Es", *sys.orig_argv[1:]])  # noqa: S606 - needs no shell


def _no_regression(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Handle errors before :func:`benchkit.errors.run_program` runs: failed imports."""
    if issubclass(kind, KeyboardInterrupt):
        os._exit(_INTERRUPTED)
    try:
        traceback.print_exception(kind, error, trace)
        words = " ".join(f"{kind.__name__}: {error}".split())
        sys.stderr.write(f"error: {Path(sys.argv[0]).name} cannot start: {words}; run make setup\n")
        sys.stderr.flush()
    finally:
        os._exit(_USAGE)
