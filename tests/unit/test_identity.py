"""Processes are known by pid, start and boot, and a killed run's are known to be gone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from benchkit.identity import ProcessIdentity, boot_id, start_time
from benchkit.stack.processes import session_members

LEAVE = """
import subprocess, sys
child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def session() -> Iterator[tuple[ProcessIdentity, int]]:
    """A session whose leader has ended, and the pid of the one member that is left."""
    with subprocess.Popen(
        [sys.executable, "-c", LEAVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as leader:
        assert leader.stdout is not None
        member = int(leader.stdout.readline())
        identity = ProcessIdentity.of(leader.pid)
        leader.communicate("\n")
    yield identity, member
    psutil.Process(member).kill()


def test_members_of_ones_own_session_are_found(session: tuple[ProcessIdentity, int]) -> None:
    leader, member = session
    assert [process.pid for process in session_members(leader)] == [member]


@pytest.mark.parametrize(
    "change",
    [
        {"boot": "another start of the machine"},
        {"boot": ""},  # written by an earlier version, which did not say
        {"host": "another container"},
    ],
    ids=["boot", "unknown", "host"],
)
def test_a_strangers_session_of_the_same_number_is_left(
    session: tuple[ProcessIdentity, int], change: dict[str, str]
) -> None:
    leader, _ = session
    assert session_members(leader.model_copy(update=change)) == []


def test_a_member_that_is_older_than_the_leader_is_left(session: tuple[ProcessIdentity, int]) -> None:
    leader, _ = session
    assert session_members(leader.model_copy(update={"started": leader.started + 3600})) == []


def test_a_process_is_alive_only_as_itself() -> None:
    me = ProcessIdentity.of(os.getpid())
    assert me.is_alive
    assert not me.is_gone
    for change in ({"started": me.started - 1}, {"boot": "another"}):
        other = me.model_copy(update=change)
        assert not other.is_alive
        assert other.is_gone
    assert not me.model_copy(update={"started": me.started - 1, "host": "another"}).is_gone
    assert me.host == socket.gethostname()
    assert boot_id()


@pytest.mark.parametrize("pid", [0x7FFFFFFF, -1, 10**30])
def test_a_pid_that_is_none_is_nobody(pid: int) -> None:
    assert start_time(pid) is None
    assert ProcessIdentity.of(pid).is_gone
