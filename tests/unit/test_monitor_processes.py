"""Families of real processes: what they use, who belongs to them, and processes that are gone or not to be seen."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchkit.monitor import processes
from benchkit.monitor.cpu_accounting import Usage
from benchkit.monitor.processes import Family, LoadFamily, Machine, ProcessTable, listener
from benchkit.run.monitor_targets import is_load

# Uses so much processor time, then does what its last argument says.
BURN = "import sys, time\nwhile time.process_time() < float(sys.argv[1]): pass\n"
WAIT = BURN + "print('done', flush=True)\nsys.stdin.read()\n"
# Runs programs one after the other, as a shell does.
PARENT = """
import subprocess, sys
print("ready", flush=True)
for line in sys.stdin:
    subprocess.run([sys.executable, "-c", sys.argv[1], line.strip()], check=True, stdin=subprocess.DEVNULL)
    print("ran", flush=True)
"""


@contextmanager
def started(*words: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.stdin.close()
            process.wait(10)


def run_in(parent: subprocess.Popen[str], seconds: float) -> None:
    assert parent.stdin is not None
    assert parent.stdout is not None
    print(seconds, file=parent.stdin, flush=True)
    assert parent.stdout.readline() == "ran\n"


def sample(family: Family, table: ProcessTable) -> Usage | None:
    table.refresh()
    return family.sample(table)


def seconds(family: Family, table: ProcessTable, since: float) -> float:
    usage = sample(family, table)
    assert usage is not None
    assert usage.cpu_percent is not None
    return usage.cpu_percent / 100 * (time.monotonic() - since)


def test_what_ended_between_two_samples_is_not_lost() -> None:
    table = ProcessTable()
    with started(PARENT, BURN) as parent:
        family = Family(psutil.Process(parent.pid))
        since = time.monotonic()
        assert sample(family, table) is not None
        run_in(parent, 0.3)
        # The child itself (less what is cut to whole ticks), its start (some hundredths), and the parent's part in it.
        assert 0.27 <= seconds(family, table, since) < 0.6
        since = time.monotonic()
        time.sleep(0.05)
        assert seconds(family, table, since) < 0.05


def test_memory_is_that_of_all_members() -> None:
    table = ProcessTable()
    with started(WAIT, "0") as process:
        usage = sample(Family(psutil.Process(process.pid)), table)
        assert usage is not None
        assert usage.cpu_percent is None
        assert usage.memory_mib == pytest.approx(psutil.Process(process.pid).memory_info().rss / 2**20)


def test_a_family_whose_root_has_ended_has_no_figures() -> None:
    table = ProcessTable()
    with started(WAIT, "0") as process:
        family = Family(psutil.Process(process.pid))
        assert sample(family, table) is not None
        assert family.lives
    assert sample(family, table) is None
    assert not family.lives


def test_a_root_that_ended_before_the_first_sample() -> None:
    with started(WAIT, "0") as process:
        family = Family(psutil.Process(process.pid))
    assert sample(family, ProcessTable()) is None
    assert not family.lives


@pytest.mark.parametrize("call", ["cpu_times", "memory_info"])
def test_a_process_that_vanishes_between_two_calls(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    table = ProcessTable()
    with started(WAIT, "0") as process:
        family = Family(psutil.Process(process.pid))
        sample(family, table)

        def vanish(self: psutil.Process) -> Any:
            raise psutil.NoSuchProcess(self.pid)

        monkeypatch.setattr(psutil.Process, call, vanish)
        assert sample(family, table) is None
        assert not family.lives


def test_another_users_process_is_refused_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: psutil.Process) -> Any:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "cpu_times", refuse)
    with pytest.raises(psutil.AccessDenied):
        sample(Family(psutil.Process()), ProcessTable())


def test_processes_that_cannot_be_opened_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: psutil.Process) -> int:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "ppid", refuse)
    table = ProcessTable()
    table.refresh()
    assert table.processes == {}


def test_a_number_that_another_process_got_is_another_process() -> None:
    table = ProcessTable()
    with started(WAIT, "0") as process:
        family = Family(psutil.Process(process.pid))
        sample(family, table)
        before = table.processes[process.pid]
        table.forget(process.pid)
        table.refresh()
        assert table.processes[process.pid] is not before
        assert table.processes[process.pid] in table.new


# The load


def told(verdicts: dict[str, bool | None]) -> Callable[[psutil.Process], bool | None]:
    """By the program that a child was given."""
    return lambda process: next((verdict for word, verdict in verdicts.items() if word in process.cmdline()[-1]), None)


def test_the_shell_itself_is_no_load_and_what_it_ran_is() -> None:
    table = ProcessTable()
    with started(PARENT, BURN) as shell:
        family = LoadFamily(psutil.Process(shell.pid), told({"0.2": True}))
        since = time.monotonic()
        usage = sample(family, table)
        assert usage == Usage(None, 0.0)
        run_in(shell, 0.2)
        assert 0.17 <= seconds(family, table, since) < 0.5


class FakeChild:
    """A child of the shell that lives as long as it is told."""

    def __init__(self, pid: int, own: float) -> None:
        self.pid, self.own, self.lives = pid, own, True

    def is_running(self) -> bool:
        return self.lives

    def cpu_times(self) -> Any:
        return type("times", (), {"user": self.own, "system": 0.0, "children_user": 0.0, "children_system": 0.0})

    def memory_info(self) -> Any:
        return type("memory", (), {"rss": 2**20, "shared": 0})


class FakeShell(FakeChild):
    """A shell: ``reaped`` is what it waited for."""

    reaped = 0.0

    def cpu_times(self) -> Any:
        return type("times", (), {"user": 9.0, "system": 9.0, "children_user": self.reaped, "children_system": 0.0})


class FakeTable(ProcessTable):
    """Processes that are there."""

    def __init__(self, *there: FakeChild, shell: FakeShell) -> None:
        super().__init__()
        for process in (shell, *there):
            self.processes[process.pid] = process  # type: ignore[assignment]
            self.parents[process.pid] = 0 if process is shell else shell.pid

    def refresh(self) -> None:
        self.new = []


def test_in_the_interval_in_which_another_child_of_the_shell_ended_there_is_no_figure() -> None:
    shell, load, other = FakeShell(1, 0.0), FakeChild(2, 0.0), FakeChild(3, 0.0)
    table = FakeTable(load, other, shell=shell)
    family = LoadFamily(shell, lambda process: process is load)  # type: ignore[arg-type, comparison-overlap]
    sample(family, table)
    load.own = 0.5
    assert getattr(sample(family, table), "cpu_percent", 0) > 0
    other.lives, shell.reaped = False, 30.0
    assert sample(family, table) == Usage(None, 1.0)
    assert sample(family, table) == Usage(None, 1.0)
    load.own = 0.6
    usage = sample(family, table)
    assert usage is not None
    assert usage.cpu_percent is not None


def test_what_cannot_be_told_apart_yet_is_asked_about_again() -> None:
    shell, load = FakeShell(1, 0.0), FakeChild(2, 0.0)
    answers: list[bool | None] = [None, None, True]
    family = LoadFamily(shell, lambda process: answers.pop(0))  # type: ignore[arg-type]
    table = FakeTable(load, shell=shell)
    assert sample(family, table) == Usage(None, 0.0)
    assert getattr(sample(family, table), "memory_mib", None) == 0.0
    assert getattr(sample(family, table), "memory_mib", None) == 1.0
    assert answers == []


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        (["/usr/bin/hey", "-n", "10", "http://127.0.0.1:1/x"], True),
        (["/bin/sh", "/home/me/my-hey", "-n", "1"], True),
        (["/x/python", str(processes.__file__).replace("benchkit/monitor/processes.py", "sse_load.py")], True),
        (["/x/python", str(processes.__file__).replace("benchkit/monitor/processes.py", "measure.py")], False),
        (
            ["/x/python", str(processes.__file__).replace("benchkit/monitor/processes.py", "variants.py"), "restart"],
            False,
        ),
        (["bash", "./run-configurable.sh", "--profile", "light"], None),
        ([], None),
    ],
)
def test_what_is_load(words: list[str], verdict: bool | None) -> None:
    shell = FakeShell(1, 0.0)
    shell.cmdline = lambda: ["bash", "./run-configurable.sh", "--profile", "light"]  # type: ignore[attr-defined]
    child = FakeChild(2, 0.0)
    child.cmdline = lambda: words  # type: ignore[attr-defined]
    assert is_load(shell, child) is verdict  # type: ignore[arg-type]


def test_a_child_that_ended_before_it_was_looked_at() -> None:
    with started(WAIT, "0") as process:
        child = psutil.Process(process.pid)
    assert is_load(psutil.Process(), child) is None


# Machine and ports


def test_all_cores_together() -> None:
    machine = Machine()
    first = machine.sample()
    assert first.cpu_percent is None
    time.sleep(0.2)
    usage = machine.sample()
    assert usage.cpu_percent is not None
    assert 0 <= usage.cpu_percent <= 100 * machine.cores
    assert 0 < (usage.memory_mib or 0) < psutil.virtual_memory().total / 2**20


def test_who_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = listener(port)
        assert found is not None
        assert found.pid == os.getpid()
    assert listener(port) is None


def test_of_workers_that_share_a_port_the_one_they_descend_from() -> None:
    fork = (
        "import os, socket, sys\n"
        "s = socket.create_server(('127.0.0.1', 0))\n"
        "r, w = os.pipe()\n"
        "if os.fork() == 0:\n os.close(w)\n os.read(r, 1)\n os._exit(0)\n"
        "os.close(r)\n"
        "print(s.getsockname()[1], flush=True)\n"
        "sys.stdin.read()\nos.close(w)\nos.wait()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", fork], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        found = listener(int(process.stdout.readline()))
        assert found is not None
        assert found.pid == process.pid
        process.communicate()


def test_where_the_system_does_not_tell_who_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: str) -> Any:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", refuse)
    assert listener(80) is None


def test_paths_of_the_toolkit_are_where_the_test_looks_for_them() -> None:
    assert Path(str(processes.__file__)).parents[2].name == "utils"
