"""Which hey makes the load: found and tried before anything is measured, for other programs have this name, too.

A hey has no ``--version`` that every build knows, so what it says and writes is looked at: its usage, which it prints
when it is started without arguments, and the rows of one request to a port where nobody listens.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from functools import cache

from benchkit.errors import UserError
from benchkit.load import hey
from benchkit.settings import ROOT, Settings

NEEDED_VERSION = "0.1.4"

_NAME = "hey"
_USAGE = "hey [options...] <url>"
_OPTIONS = ("-o", "-D", "-T", "-disable-redirects")
_TIMEOUT_S = 5.0
_MAX_BYTES = 1 << 16


def find_hey(settings: Settings) -> str:
    """The load generator's path: as configured; for the plain name the first usable one on PATH or of the set-up.

    Raises:
        UserError: it is nowhere, or what is there cannot be used. The line says why.
    """
    name = settings.config.performance.hey_binary
    where = f"{settings.sources.get('performance.hey_binary', 'config.yaml')}: performance.hey_binary = {name!r}"
    candidates = [name, str(ROOT / ".tools" / "bin" / _NAME)] if name == _NAME else [name]
    found = [path for path in map(shutil.which, candidates) if path is not None]
    if not found:
        raise UserError(f"{where}: there is no such program; run make setup")
    for path in found:
        if not problem_of(path):
            return path
    raise UserError(
        f"{where}: {found[0]}: {problem_of(found[0])}: install hey {NEEDED_VERSION} or newer (make setup), "
        "or name it in PERF_HEY"
    )


@cache
def problem_of(path: str) -> str:
    """Why a program cannot make the load, in words; empty when it can. It is tried once per process."""
    usage = _output([path])
    if usage is None:
        return f"it does not start, or does not end within {_TIMEOUT_S:g} s"
    if _USAGE not in usage.decode("utf-8", "replace"):
        return "it is another program of this name, not the load generator"
    words = usage.decode("utf-8", "replace").split()
    if missing := [option for option in _OPTIONS if option not in words]:
        return f"it is an old hey, without {', '.join(missing)}"
    with socket.socket() as closed:
        # Bound and never listening: nothing else can answer there meanwhile.
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        rows = _output([path, "-n", "1", "-c", "1", "-t", "1", "-o", "csv", "-disable-redirects", url], errors=False)
    if rows is None:
        return f"it does not start, or does not end within {_TIMEOUT_S:g} s"
    return hey.problem_of_header(rows)


def _output(command: list[str], *, errors: bool = True) -> bytes | None:
    """What a program prints; ``None`` when it does not start or does not end."""
    try:
        # A file, since a pipe may be held open by what such a program started, and may bring any amount.
        with tempfile.TemporaryFile() as output:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output if errors else subprocess.DEVNULL,
                timeout=_TIMEOUT_S,
                check=False,
            )
            output.seek(0)
            return output.read(_MAX_BYTES)
    except (OSError, subprocess.TimeoutExpired):
        return None
