"""The engine ``hey``: a third-party program, which is found and verified before the measurement.

Other programs have the same name, and not every build has ``--version``. Therefore two outputs are checked: the usage
text, which hey prints without arguments, and the rows of one request to a closed port.
"""

from __future__ import annotations

import hashlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchkit.errors import UserError
from benchkit.load.job import Job, same_for_each_worker
from benchkit.model import AnswerForm, HttpRequest, Request
from benchkit.settings import ROOT, Settings

if TYPE_CHECKING:
    from benchkit.load.rows import Rows

NEEDED_VERSION = "0.1.4"

_NAME = "hey"
_PACKAGED = "/usr/bin/hey"
_USAGE = "hey [options...] <url>"
_OPTIONS = ("-o", "-D", "-T", "-disable-redirects")
_TIMEOUT_S = 5.0
_MAX_BYTES = 1 << 16


class Hey:
    """``hey -o csv``; see :class:`benchkit.load.engines.Engine`."""

    name = _NAME
    resolution_ms = 0.1
    closed_loop = True
    cores: int | None = None
    answer: AnswerForm = "body"
    headers: Mapping[str, str] = {
        "User-Agent": "hey/0.0.1",  # as sent by hey 0.1.4
        "Content-Type": "text/html",
        "Accept-Encoding": "gzip",
    }
    script: Path | None = None

    def problem_with(self, request: Request) -> str:
        """Accept every HTTP request."""
        return "" if isinstance(request, HttpRequest) else "it sends only http requests"

    def requests(self, requests: float, workers: int) -> int:
        """Return the number of requests: hey gives each worker ``requests // workers`` and drops the rest."""
        return same_for_each_worker(requests, workers)

    def program(self, settings: Settings) -> list[str]:
        """Return the configured program; for the plain name, the first usable one on PATH or from the set-up.

        Raises:
            UserError: there is none, or it cannot be used; the message says why.
        """
        name = settings.config.performance.hey_binary
        where = f"{settings.sources.get('performance.hey_binary', 'config.yaml')}: performance.hey_binary = {name!r}"
        candidates = [name, str(ROOT / ".tools" / "bin" / _NAME)] if name == _NAME else [name]
        found = [path for path in map(shutil.which, candidates) if path is not None]
        if not found:
            raise UserError(f"{where}: there is no such program; run make setup")
        for path in found:
            if not problem_of(path):
                return [str(Path(path).absolute())]
        raise UserError(
            f"{where}: {found[0]}: {problem_of(found[0])}: install hey {NEEDED_VERSION} or newer (make setup), "
            "or name it in PERF_HEY"
        )

    def version(self, program: Sequence[str]) -> str:
        """Return the version of the Debian package, or else the file's digest, which identifies the build."""
        try:
            found = subprocess.run(
                ["dpkg-query", "-W", "-f", "${Version}", _NAME], capture_output=True, text=True, timeout=5, check=False
            )
            if found.returncode == 0 and program[0] == _PACKAGED:
                return found.stdout.strip()
        except (OSError, subprocess.TimeoutExpired):
            pass
        try:
            return "sha256:" + hashlib.sha256(Path(program[0]).read_bytes()).hexdigest()[:12]
        except OSError:
            return "unknown"

    def arguments(self, job: Job) -> list[str]:
        """Return requests, workers, timeout, output format, method, headers, body, address.

        The token's header is among them, because hey accepts it in no other way.
        """
        request = job.http
        words = ["-n", str(job.requests), "-c", str(job.part.concurrency), "-t", str(job.case.timeout_s)]
        words += ["-o", "csv", "-disable-redirects", "-m", request.method]
        for name, value in request.headers_with(job.token).items():
            # hey sends text/html unless its own option is used; a header does not override it.
            words += ["-T", value] if name == "Content-Type" else ["-H", f"{name}: {value}"]
        if request.body_file is not None:
            words += ["-D", str(job.run_dir / request.body_file)]
        return [*words, request.url]

    def rows(self, path: Path) -> Rows:
        """Read the rows of ``-o csv``."""
        from benchkit.load.engines.hey_output import read_rows  # pylint: disable=import-outside-toplevel  # numpy

        return read_rows(path)


@cache
def problem_of(path: str) -> str:
    """Return why a program cannot generate the load; empty if it can. Each program is tried once per process."""
    usage = _output([path])
    if usage is None:
        return f"it does not start, or does not end within {_TIMEOUT_S:g} s"
    if _USAGE not in usage.decode("utf-8", "replace"):
        return "it is another program of this name, not the load generator"
    words = usage.decode("utf-8", "replace").split()
    if missing := [option for option in _OPTIONS if option not in words]:
        return f"it is an old hey, without {', '.join(missing)}"
    with socket.socket() as closed:
        # The port is bound but not listening, so nothing else can answer there.
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        rows = _output([path, "-n", "1", "-c", "1", "-t", "1", "-o", "csv", "-disable-redirects", url], errors=False)
    if rows is None:
        return f"it does not start, or does not end within {_TIMEOUT_S:g} s"
    from benchkit.load.engines.hey_output import problem_of_header  # pylint: disable=import-outside-toplevel  # numpy

    return problem_of_header(rows)


def _output(command: list[str], *, errors: bool = True) -> bytes | None:
    """Return what a program prints; ``None`` if it does not start or does not end."""
    try:
        # A file instead of a pipe: a child process may hold a pipe open, and the output has no size limit.
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
