"""How a program of ``utils/`` begins, whoever calls it: isolated from the caller's Python, and never with exit code 1.

Python ends with 1 when an import fails, and 1 means a regression here. The shell's programs start Python with ``-Es``
(``utils/lib/environment.sh``); what is typed by hand gets the same from :func:`begin`, which :mod:`benchkit` calls
before anything else of it is imported. Only the standard library is used here, for nothing else may be there.
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
"""Packages of the toolkit's environment; a Python that has some of them is not one that has all."""

_INTERRUPTED, _USAGE = 130, 2  # as in benchkit.errors, which is not imported yet


def begin() -> None:
    """Start the program anew where it was not started with ``-Es``, or by a Python without the toolkit's packages.

    Does nothing where the main program is none of ``utils/``: tests, benchmarks.
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
    """What :func:`benchkit.errors.run_program` does not see, since it happens before: an import that fails."""
    if issubclass(kind, KeyboardInterrupt):
        os._exit(_INTERRUPTED)
    try:
        traceback.print_exception(kind, error, trace)
        words = " ".join(f"{kind.__name__}: {error}".split())
        sys.stderr.write(f"error: {Path(sys.argv[0]).name} cannot start: {words}; run make setup\n")
        sys.stderr.flush()
    finally:
        os._exit(_USAGE)
