"""Whether this user may open the files and start the processes that a load needs, asked before it begins."""

from __future__ import annotations

import os
import resource

import psutil

from benchkit.errors import UserError

_OWN_FILES = 100
_OWN_PROCESSES = 100


def check_limits(concurrency: int) -> None:
    """Refuse a load that would fail for want of descriptors or processes: it would look like a gateway that fails.

    Raises:
        UserError: ``ulimit -n`` or ``ulimit -u`` is too low.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    # The system does not hold root to a number of processes.
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
    """What is too little for a load, in words; empty when nothing is.

    Args:
        concurrency: requests at the same time.
        files: descriptors that a process may have; ``None``: as many as it likes.
        processes: processes and threads that this user may still start; ``None``: as many as he likes.
    """
    # A gateway of the toolkit's own holds one connection to each client, and may hold one to a server for each.
    needed = 2 * concurrency + _OWN_FILES
    if files is not None and files < needed:
        return (
            f"no more than {files} files may be open here, and a load of {concurrency} at once needs {needed}: "
            f"ulimit -n {max(needed, 4096)}, or a lower --concurrency"
        )
    # A load generator may have a thread for each.
    needed = concurrency + _OWN_PROCESSES
    if processes is not None and processes < needed:
        return (
            f"no more than {max(processes, 0)} further processes and threads may be started here, and a load of "
            f"{concurrency} at once needs {needed}: raise ulimit -u, or use a lower --concurrency"
        )
    return ""


def _running_threads() -> int:
    """Threads of all of this user's processes, which is what the system counts."""
    own = os.getuid()
    threads = 0
    for process in psutil.process_iter(["uids", "num_threads"]):
        uids = process.info["uids"]
        if uids is not None and uids.real == own:
            threads += process.info["num_threads"] or 1
    return threads
