"""Threads, requests and a recorded run for the tests of profiles."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchkit.profiling.samples import Frame, Slice, Thread
from benchkit.profiling.stalls import Requests

FIXTURE = Path(__file__).parents[1] / "fixtures" / "profile" / "run"

LOOP = Frame("Runner.run", "asyncio/runners.py", 118)
ENDPOINT = Frame("list_tools", "mcpgateway/main.py", 5692)
QUERY = Frame("DefaultDialect.do_execute", "sqlalchemy/engine/default.py", 952)
COLLECT = Frame("gc_collect_main", "libpython3.11.so.1.0", 0)
POLL = Frame("epoll_pwait", "libc.so.6", 0)


def thread(*pieces: tuple[float, float, tuple[Frame, ...]], name: str = "MainThread") -> Thread:
    """A thread from (start, end, stack) triples."""
    return Thread(name, [Slice(start, end, stack) for start, end, stack in pieces])


def steady(count: int, interval_s: float, latency_s: float) -> Requests:
    """Requests one behind the other."""
    starts = [number * interval_s for number in range(count)]
    return Requests(starts, [start + latency_s for start in starts])


def recorded(directory: Path) -> Path:
    """A copy of the recorded run, named as one."""
    run = directory / "profile_2026-11-26-041405"
    shutil.copytree(FIXTURE, run)
    return run
