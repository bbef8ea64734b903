"""Start and stop py-spy during a round's load.

Each process of the gateway gets its own sampler, because py-spy identifies threads by a number that two processes may
share. Each sampler has a maximum duration, so that it ends by itself if it cannot be stopped.
"""

from __future__ import annotations

import contextlib
import gzip
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from benchkit import clock
from benchkit.errors import UserError, os_reason
from benchkit.model.cpu_profile import RecordedProcess, Recording
from benchkit.store import read_json, save, write_bytes

_READY = "Sampling process"
_READY_S = 20.0
_STOP_S = 15.0
_ASK_AGAIN_S = 0.5
_POLL_S = 0.02
_TRIAL_S = 30.0
_COUNTS = re.compile(r"Samples: (\d+) Errors: (\d+)")
_BEHIND = "behind in sampling"


def find_sampler() -> str:
    """Return the path of py-spy, which is next to the toolkit's interpreter.

    Raises:
        UserError: it does not exist.
    """
    program = Path(sys.executable).with_name("py-spy")
    if not program.exists():
        raise UserError(f"{program}: py-spy is not there: run make setup")
    return str(program)


def sampler_version(program: str) -> str:
    """Return the version, like ``py-spy 0.4.1``."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "py-spy"


def python_processes(pid: int) -> list[int]:
    """Return the pids of a process and its Python descendants.

    Raises:
        UserError: the process has ended.
    """
    try:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.Error as error:
        raise UserError(f"the gateway's process (pid {pid}) is gone: make logs NAME=gateway says why") from error
    found = []
    for one in family:
        with contextlib.suppress(psutil.Error):
            if one.pid == pid or Path(one.exe()).name.startswith("python"):
                found.append(one.pid)
    return found


def try_sampler(program: str, pid: int, *, native: bool) -> bool:
    """Take one sample; return whether frames of compiled code are wanted and available.

    Raises:
        UserError: the process may not, or cannot, be sampled.
    """
    base = [program, "dump", "--pid", str(pid)]
    if native and _dump([*base, "--native"]) == "":
        return True
    complaint = _dump(base)
    if complaint:
        raise refusal(complaint, pid)
    return False


def _dump(command: Sequence[str]) -> str:
    """Return py-spy's error message; empty if it succeeded."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TRIAL_S)
    except subprocess.TimeoutExpired:
        return f"it did not answer within {_TRIAL_S:.0f} s"
    return "" if done.returncode == 0 else done.stderr or f"exit status {done.returncode}"


def refusal(complaint: str, pid: int) -> UserError:
    """Return py-spy's message as one line that says what to do."""
    if re.search(r"permission denied|operation not permitted|requires root", complaint, re.IGNORECASE):
        return UserError(
            f"py-spy may not look into the gateway (pid {pid}): the system forbids it. Run this as root, or allow it: "
            "sudo sysctl kernel.yama.ptrace_scope=0 (in a container: --cap-add SYS_PTRACE)"
        )
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    reason = " ".join(lines[:2]) or "it says nothing"
    return UserError(f"py-spy cannot sample the gateway (pid {pid}): {reason}")


@contextlib.contextmanager
def _termination_deferred() -> Iterator[None]:
    """Handle TERM at the end: an exception in the middle would leave an untracked process behind."""
    received: list[int] = []
    handler = signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        if received:
            signal.raise_signal(signal.SIGTERM)


@dataclass
class _Running:
    """A running sampler, whose clock started between ``earliest`` and ``latest``."""

    pid: int
    process: subprocess.Popen[bytes]
    output: Path
    log: Path
    earliest: datetime
    latest: datetime | None = None


class Recorder:
    """Samples the gateway's processes between :meth:`start` and :meth:`stop`."""

    def __init__(self, program: str, *, rate: int, native: bool) -> None:
        self._program = program
        self._rate = rate
        self._native = native
        self._version = sampler_version(program)
        self._running: list[_Running] = []
        self._record = Path()
        self._case = ""
        self._round = 0

    def start(self, pids: Sequence[int], record: Path, *, case: str, number: int, longest_s: float) -> None:
        """Start to sample, and wait for the first samples.

        Args:
            pids: the processes.
            record: where :meth:`stop` writes the :class:`Recording`; the samples are next to it.
            case: the case whose load is about to run.
            number: its round.
            longest_s: the sampler ends by itself after this many seconds.

        Raises:
            UserError: no process can be sampled.
        """
        self._record, self._case, self._round = record, case, number
        record.parent.mkdir(parents=True, exist_ok=True)
        for pid in pids:
            with _termination_deferred():
                self._running.append(self._launch(pid, longest_s))
        complaints = [complaint for one in list(self._running) if (complaint := self._await(one))]
        if not self._running:
            raise refusal(complaints[0], pids[0])

    def stop(self) -> None:
        """Stop sampling and write the samples; do nothing if no sampler runs.

        Raises:
            UserError: they cannot be written.
        """
        with _termination_deferred():
            self._stop()

    def _stop(self) -> None:
        running, self._running = self._running, []
        asked = clock.now()
        for one in running:
            # Before its first sample, a sampler does not handle INT and has nothing to write.
            one.process.send_signal(signal.SIGTERM if one.latest is None else signal.SIGINT)
        processes = [found for one in running if (found := self._collect(one, asked)) is not None]
        if running:
            recording = Recording(
                case=self._case,
                round=self._round,
                sampler=self._version,
                rate=self._rate,
                native=self._native,
                processes=processes,
            )
            save(self._record, recording)

    def _launch(self, pid: int, longest_s: float) -> _Running:
        stem = self._record.name.removesuffix(".json")
        output = self._record.with_name(f"{stem}.{pid}.trace.json")
        log = self._record.with_name(f"{stem}.{pid}.log")
        argv = [self._program, "record", "--pid", str(pid), "--format", "chrometrace", "--output", str(output)]
        argv += ["--rate", str(self._rate), "--duration", str(int(longest_s) + 1), "--threads", "--idle"]
        argv += ["--native"] if self._native else []
        earliest = clock.now()
        try:
            with log.open("wb") as stream:
                process = subprocess.Popen(  # pylint: disable=consider-using-with  # it outlives this function
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C must not reach it: it is stopped together with its load.
                    start_new_session=True,
                )
        except OSError as error:
            raise UserError(f"py-spy cannot be started: {os_reason(error)}") from error
        return _Running(pid, process, output, log, earliest)

    def _await(self, one: _Running) -> str:
        """Wait for its first sample. On failure remove the sampler and return its error message."""
        deadline = time.monotonic() + _READY_S
        while _READY not in _text(one.log):
            if one.process.poll() is not None or time.monotonic() > deadline:
                one.process.kill()
                one.process.wait()
                self._running.remove(one)
                complaint = _text(one.log) or f"no sample within {_READY_S:.0f} s"
                one.log.unlink(missing_ok=True)
                return complaint
            time.sleep(_POLL_S)
        one.latest = clock.now()
        return ""

    def _collect(self, one: _Running, asked: datetime) -> RecordedProcess | None:
        """Wait for its end and collect its output; ``None`` if there is none."""
        deadline = time.monotonic() + _STOP_S
        while True:
            try:
                one.process.wait(_ASK_AGAIN_S)
                break
            except subprocess.TimeoutExpired:
                # It reports that it samples shortly before it handles signals.
                late = time.monotonic() > deadline
                one.process.send_signal(signal.SIGKILL if late else signal.SIGINT)
        ended = clock.now()
        text = _text(one.log)
        one.log.unlink(missing_ok=True)
        counts = _COUNTS.search(text)
        if counts is None or not one.output.exists():
            one.output.unlink(missing_ok=True)
            return None
        earliest, latest = _narrowed(one, asked, ended)
        file = one.output.with_name(one.output.name + ".gz")
        write_bytes(file, gzip.compress(one.output.read_bytes(), compresslevel=6))
        one.output.unlink()
        return RecordedProcess(
            pid=one.pid,
            file=file.name,
            earliest=earliest,
            latest=latest,
            samples=int(counts.group(1)),
            errors=int(counts.group(2)),
            behind=text.count(_BEHIND),
        )


def _narrowed(one: _Running, asked: datetime, ended: datetime) -> tuple[datetime, datetime]:
    """Return the earliest and latest possible start of the sampler's clock.

    It was started at ``earliest`` and took samples at ``latest``. In addition, its last event has the time of its end,
    which was between ``asked`` and ``ended``.
    """
    earliest, latest = one.earliest, one.latest or ended
    events: list[dict[str, Any]] = read_json(one.output, "trace")
    if not events:
        return earliest, latest
    last = timedelta(microseconds=max(int(event["ts"]) for event in events))
    by_end = max(earliest, asked - last), min(latest, ended - last)
    # If it ended by itself, that was before it was asked to.
    return by_end if by_end[0] <= by_end[1] else (earliest, latest)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
