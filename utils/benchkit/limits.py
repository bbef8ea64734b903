"""Check before a load whether this user may open the files and start the processes that it needs."""

from __future__ import annotations

import os
import resource

import psutil

from benchkit.errors import UserError

_OWN_FILES = 100
_OWN_PROCESSES = 100


def check_limits(concurrency: int) -> None:
    """Refuse a load that would run out of descriptors or processes, which would look like a failing gateway.

    Raises:
        UserError: ``ulimit -n`` or ``ulimit -u`` is too low.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    # The limit on processes does not apply to root.
    is_limited = processes != resource.RLIM_INFINITY and os.geteuid() != 0
    running = _running_threads() if is_limited else 0
    problem = shortage(
        concurrency,
        files=None if files == resource.RLIM_INFINITY else files,
        processes=processes - running if is_limited else None,
    )
    if problem:
        raise UserError(problem)


def shortage(concurrency: int, *, files: int | None, processes: int | None) -> str:
    """Return which limit is too low for a load, in words; empty if none is.

    Args:
        concurrency: concurrent requests.
        files: maximum descriptors per process; ``None``: no limit.
        processes: how many more processes and threads this user may start; ``None``: no limit.
    """
    # The toolkit's own gateway holds one connection per client, and may hold one to a server for each.
    needed = 2 * concurrency + _OWN_FILES
    if files is not None and files < needed:
        return (
            f"no more than {files} files may be open here, and a load of {concurrency} at once needs {needed}: "
            f"ulimit -n {max(needed, 4096)}, or a lower --concurrency"
        )
    # A load generator may use one thread per request.
    needed = concurrency + _OWN_PROCESSES
    if processes is not None and processes < needed:
        return (
            f"no more than {max(processes, 0)} further processes and threads may be started here, and a load of "
            f"{concurrency} at once needs {needed}: raise ulimit -u, or use a lower --concurrency"
        )
    return ""


def _running_threads() -> int:
    """Count the threads of all of this user's processes, which is what the limit applies to."""
    own = os.getuid()
    threads = 0
    for process in psutil.process_iter(["uids", "num_threads"]):
        uids = process.info["uids"]
        if uids is not None and uids.real == own:
            threads += process.info["num_threads"] or 1
    return threads
