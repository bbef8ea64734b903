"""The toolkit's locks: one for the measuring machine, and one for each directory that is written to.

**The machine's lock** is ``flock`` on the root directory, opened for reading. It is the same path for every user and
every ``TMPDIR``, and it always exists. No file is created, so there is nothing that could be replaced by a link, be
owned by somebody else, or be truncated. The kernel releases the lock with the last process that has the descriptor. The
run's shell opens it on descriptor 5 and the load inherits it, so load that outlives its shell still blocks the next
run.

Another user can hold this lock too, and it cannot be taken away. The error names the holder; ``PERF_IGNORE_LOCK`` with
that process's pid lets a run start anyway. The user's own runs cannot be ignored this way.

``PERF_LOCK`` names another directory instead of the root. It is for the toolkit's own tests, which must not block each
other or a real run. Runs with different values do not see each other.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchkit.errors import UserError, os_reason

DESCRIPTOR = 5
"""The descriptor on which the shell holds the machine's lock; see ``runner::open_lock`` in utils/lib/runner.sh."""

_PROC = Path("/proc")
_PRIVATE_FILE = 0o600
_POLL_S = 0.05


# ---------------------------------------------------------------------------------------------------------------------
# The machine's lock


@dataclass(frozen=True)
class Holder:
    """A process that holds the lock. ``mine``: it belongs to this user."""

    pid: int
    user: str
    mine: bool
    command: str

    def __str__(self) -> str:
        owner = "" if self.mine else f" of user {self.user}"
        return f"pid {self.pid}{owner}, {self.command}"


def machine() -> Path:
    """Return the locked path: the root directory, or the one that a test chose."""
    return Path(os.environ.get("PERF_LOCK") or "/")


def take_machine() -> None:
    """Take the machine's lock, on the descriptor that the shell opened.

    Raises:
        UserError: another run holds the lock, or the descriptor is not the lock.
    """
    try:
        if not os.path.samestat(os.fstat(DESCRIPTOR), machine().stat()):
            raise UserError(_not_open())
        fcntl.flock(DESCRIPTOR, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        _refuse(holder_of(machine()), error)
    except OSError as error:
        raise UserError(f"{_not_open()} ({os_reason(error)})") from error


def _not_open() -> str:
    return (
        f"descriptor {DESCRIPTOR} is not the lock of this machine ({machine()}): "
        "start this through run-configurable.sh, run-advanced.sh or run-all.sh"
    )


def _refuse(holder: Holder | None, cause: OSError) -> None:
    said = os.environ.get("PERF_IGNORE_LOCK", "")
    if holder is None:
        who = f"a process that cannot be seen from here (sudo lsof {machine()})"
        if said == "unknown":
            return
        raise UserError(
            f"another run measures on this machine: {who}: wait for it; if that is no run, PERF_IGNORE_LOCK=unknown "
            "measures nevertheless"
        ) from cause
    if holder.mine:
        raise UserError(f"another run measures on this machine ({holder}): wait for it, or stop it") from cause
    if said != str(holder.pid):
        raise UserError(
            f"another run measures on this machine ({holder}): wait for it; if that is no run, "
            f"PERF_IGNORE_LOCK={holder.pid} measures nevertheless"
        ) from cause


def holder_of(place: Path) -> Holder | None:
    """Return the holder of a lock: this user's oldest process that holds it, else another user's.

    ``None`` if no holder is visible. Works only on Linux.
    """
    try:
        own = [process for process in psutil.process_iter() if _holds(process.pid, place)]
        others = [psutil.Process(pid) for pid in _lockers(place) if psutil.pid_exists(pid)]
        for process in [*sorted(own, key=lambda one: float(one.create_time())), *others]:
            uid = process.uids().effective
            return Holder(process.pid, _user(uid), uid == os.geteuid(), _command(process))
    except (OSError, psutil.Error):
        pass
    return None


def _holds(pid: int, place: Path) -> bool:
    """Return whether a process has a locked descriptor; false if it may not be inspected."""
    wanted = place.stat()
    with contextlib.suppress(OSError):
        for link in (_PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                if os.path.samestat(link.stat(), wanted):
                    text = (_PROC / str(pid) / "fdinfo" / link.name).read_text(encoding="ascii", errors="replace")
                    if "FLOCK" in text:
                        return True
    return False


def _lockers(place: Path) -> list[int]:
    """Return the pids in the kernel's list of locks, of all users: ``1: FLOCK ADVISORY WRITE PID MAJ:MIN:INODE …``."""
    inode = str(place.stat().st_ino)
    rows = [line.split() for line in (_PROC / "locks").read_text(encoding="ascii", errors="replace").splitlines()]
    return [
        int(row[4])
        for row in rows
        if len(row) > 5 and row[1] == "FLOCK" and row[4].isdecimal() and row[5].rpartition(":")[2] == inode
    ]


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _command(process: psutil.Process) -> str:
    """Return the program's name; for a script, the script's name."""
    try:
        words = process.cmdline()
    except psutil.Error:
        words = []
    names = [Path(word).name for word in words if word]
    if names and names[0] in ("bash", "sh"):
        return next((name for name in names[1:] if not name.startswith(("-", "+"))), names[0])
    return names[0] if names else process.name()


# ---------------------------------------------------------------------------------------------------------------------
# A directory's lock


@contextlib.contextmanager
def locked_file(
    path: Path,
    what: str,
    *,
    timeout_s: float,
    say: Callable[[str], None] = lambda _line: None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Hold the lock of a file, creating the file if necessary; wait until another holder releases it.

    The system releases the lock when this process ends in any way, so a leftover file has no meaning. The file contains
    the pid of its last holder, for messages only.

    Args:
        path: a file in a directory that exists.
        what: what another holder does, for messages: ``another start of the stack``.
        timeout_s: how long to wait at most.
        say: called with one line as soon as it has to wait.
        check: called repeatedly while it waits; may raise.

    Raises:
        UserError: the file cannot be opened, is not a regular file of this user, or stayed locked until the timeout.
    """
    descriptor = _open(path)
    try:
        deadline = time.monotonic() + timeout_s
        told = False
        while not _try(descriptor, path):
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            if time.monotonic() >= deadline:
                raise UserError(
                    f"{what} (pid {holder}) did not end within {timeout_s:g} s: wait for it or stop it, then try "
                    "again; nothing was changed"
                )
            if not told:
                say(f"{what} (pid {holder}) is under way: waiting for it")
                told = True
            check()
            time.sleep(_POLL_S)
        with contextlib.suppress(OSError):  # The pid is only for messages, so a full disk does not matter.
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    """Open a file that belongs to this user; return a descriptor that children do not inherit."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, _PRIVATE_FILE)
    except OSError as error:
        reason = "it is a symbolic link" if path.is_symlink() else os_reason(error)
        raise UserError(f"{path}: the lock cannot be opened: {reason}; nothing was changed") from error
    problem = _problem(os.fstat(descriptor), path.parent)
    if problem:
        os.close(descriptor)
        raise UserError(f"{path}: is not this toolkit's lock: {problem}; remove it; nothing was changed")
    return descriptor


def _problem(found: os.stat_result, directory: Path) -> str:
    """Return why this program must not write to a file; empty if it may."""
    if not stat.S_ISREG(found.st_mode):
        return "it is no ordinary file"
    if found.st_nlink != 1:
        return "it has another name elsewhere (a hard link)"
    # Root may work in the directory of another user, who then owns the lock.
    mine = {os.geteuid()} | ({directory.stat().st_uid} if os.geteuid() == 0 else set())
    return "" if found.st_uid in mine else f"it belongs to user {_user(found.st_uid)}"


def _try(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UserError(f"{path}: cannot be locked: {os_reason(error)}; nothing was changed") from error
    return True
