"""Start, stop and faults of a stack whose programs are stubs."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchkit import store
from benchkit.errors import ExitCode, UserError
from benchkit.identity import ProcessIdentity
from benchkit.stack import lifecycle, processes
from benchkit.stack.deployment import ProgramStatus, StartCallbacks
from benchkit.stack.lifecycle import ensure, read_owner, write_owner
from benchkit.stack.state import StackPaths, StackState, load_state, read_state, variant_places
from benchkit.stack.topology import BalancerNode, PostgresNode, topology_of
from builders.stack_stub import StubStack, make_stub_stack


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubStack]:
    made = make_stub_stack(tmp_path, monkeypatch)
    yield made
    made.interrupt = type(made.interrupt)()
    made.down()


def members(state: StackState) -> list[psutil.Process]:
    return processes.session_members(state.runtime.supervisor)


def statuses(stack: StubStack) -> list[ProgramStatus]:
    state = read_state(stack.place)
    assert state is not None
    return lifecycle.deployment(stack.place).statuses(state)


def assert_nothing_left(stack: StubStack, state: StackState | None) -> None:
    assert not stack.place.state.exists()
    for port in stack.ports:
        assert processes.port_owner(port) is None
    if state is not None:
        assert members(state) == []
        assert not Path(state.runtime.directory).exists()


def body(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
        return str(answer.read().decode())


def test_up_is_ready_and_down_leaves_nothing(stack: StubStack) -> None:
    outcome = stack.up()
    assert outcome.started
    assert [status.name for status in statuses(stack)] == ["gateway", "time1"]
    assert all(status.runs for status in statuses(stack))
    assert [(status.kind, status.port) for status in statuses(stack)] == [
        ("gateway", stack.ports[0]),
        ("server", stack.ports[1]),
    ]
    assert read_state(stack.place) == outcome.state
    assert stack.said[-1].startswith("registration: ready")
    assert stack.down()
    assert_nothing_left(stack, outcome.state)
    assert not stack.down()


def test_only_the_user_can_read_what_it_writes(stack: StubStack) -> None:
    stack.up()
    place = stack.place
    for directory in (place.root, place.logs, place.programs, place.gateway, place.servers):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for file in (place.state, place.secrets, place.gateway_environment, place.supervisor_config, place.lock):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_supervisor_is_in_a_session_of_its_own(stack: StubStack) -> None:
    state = stack.up().state
    assert os.getsid(state.runtime.supervisor.pid) == state.runtime.supervisor.pid != os.getsid(0)


def test_no_secret_stands_in_an_argument_list(stack: StubStack) -> None:
    state = stack.up().state
    secrets = store.read_json(stack.place.secrets, "secrets")
    arguments = " ".join(" ".join(process.cmdline()) for process in members(state))
    assert "mcpgateway" in arguments
    for name, value in secrets.items():
        assert name == "schema_version" or value not in arguments


def test_settings_of_the_gateway_may_hold_any_character(stack: StubStack) -> None:
    value = 'it\'s 100% "odd" $HOME `id` ;\\ \n end'
    stack.up(GREETING=value)
    assert body(stack.ports[0]) == value


def test_every_start_has_a_copy_of_the_same_migrated_database(stack: StubStack) -> None:
    stack.up()
    fresh = (stack.place.gateway / "gateway.db").read_bytes()
    (stack.place.gateway / "gateway.db").write_bytes(b"what a run left")
    (stack.place.gateway / "gateway.db-wal").write_bytes(b"and this")
    (stack.place.root / "token").write_text("of a user of that database")
    stack.down()
    stack.up()
    assert (stack.place.gateway / "gateway.db").read_bytes() == fresh
    assert not (stack.place.gateway / "gateway.db-wal").exists()
    assert not (stack.place.root / "token").exists()
    stack.down()
    stack.up(GREETING="other settings")
    assert (stack.place.gateway / "migrations").read_text().splitlines() == ["mcpgateway.bootstrap_db"] * 2


def test_up_when_up_changes_nothing(stack: StubStack) -> None:
    state = stack.up().state
    again = stack.up()
    assert not again.started
    assert again.state == state


def test_another_topology_is_refused_while_one_is_up(stack: StubStack) -> None:
    stack.up()
    with pytest.raises(UserError, match=r"gateway settings differ in GREETING: run make down first"):
        stack.up(GREETING="new")


def test_a_program_that_ended_is_named_by_the_next_up(stack: StubStack) -> None:
    stack.up()
    pid = next(status.pid for status in statuses(stack) if status.name == "time1")
    os.kill(pid, signal.SIGKILL)
    while any(status.pid == pid for status in statuses(stack)):
        time.sleep(0.05)
    with pytest.raises(UserError, match=r"time1 ended .* make down first"):
        stack.up()


def test_two_ups_at_once_start_one_stack(stack: StubStack) -> None:
    outcomes: list[lifecycle.Outcome] = []
    threads = [threading.Thread(target=lambda: outcomes.append(stack.up())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome.started for outcome in outcomes) == [False, True]
    assert outcomes[0].state == outcomes[1].state
    assert any("is under way: waiting" in line for line in stack.said)


def test_a_taken_port_names_its_owner_and_nothing_is_started(stack: StubStack) -> None:
    with socket.create_server(("127.0.0.1", stack.ports[0])), pytest.raises(UserError) as caught:
        stack.up()
    assert f"port {stack.ports[0]} (for gateway) is taken by pid {os.getpid()} (" in str(caught.value)
    assert caught.value.exit_code == ExitCode.USAGE
    assert_nothing_left(stack, None)


def test_each_taken_port_has_a_line(stack: StubStack) -> None:
    with (
        socket.create_server(("127.0.0.1", stack.ports[0])),
        socket.create_server(("127.0.0.1", stack.ports[1])),
        pytest.raises(UserError, match="2 ports are taken; nothing was started"),
    ):
        stack.up()
    assert [line.split(" (")[0] for line in stack.said] == [f"error: port {port}" for port in stack.ports]


def test_a_gateway_that_dies_is_reported_with_its_last_words(stack: StubStack) -> None:
    with pytest.raises(UserError, match=r"gateway ended with exit status 1 .*this is why it died; log: .*gateway\.log"):
        stack.up(STUB="dies")
    assert "gateway.log| this is why it died" in stack.said
    assert_nothing_left(stack, None)


def test_a_gateway_that_does_not_get_ready_is_reported_after_the_timeout(stack: StubStack) -> None:
    with pytest.raises(UserError, match=r"gateway not ready after . s .*timeout: 3\).*/ready: HTTP 503"):
        stack.up(STUB="unready", timeout=3)
    assert_nothing_left(stack, None)


def test_a_failed_migration_is_reported_and_not_taken_for_a_database(stack: StubStack) -> None:
    for _ in range(2):
        with pytest.raises(UserError, match=r"gateway-database ended with exit status 1 .*no migration today"):
            stack.up(STUB="cannot migrate")
    assert not list(stack.place.gateway.glob("pristine*"))
    assert_nothing_left(stack, None)


def test_an_interrupt_during_up_stops_everything(stack: StubStack) -> None:
    noted: list[StackState] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    stack.interrupt.watch()
    try:
        threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        caller = StartCallbacks(stack.said.append, stack.interrupt, began=noted.append)
        with pytest.raises(UserError, match="interrupted") as caught:
            lifecycle.up(stack.settings(STUB="deaf"), stack.place, caller)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert caught.value.exit_code == ExitCode.TERMINATED
    assert_nothing_left(stack, noted[0])


def test_a_failed_completion_belongs_to_the_start(stack: StubStack) -> None:
    def fail(_state: StackState) -> None:
        raise UserError("the gateway takes no servers")

    with pytest.raises(UserError, match="takes no servers"):
        lifecycle.up(stack.settings(), stack.place, StartCallbacks(stack.said.append, stack.interrupt, complete=fail))
    assert_nothing_left(stack, None)


def test_down_ends_a_gateway_that_ignores_term_within_eight_seconds(stack: StubStack) -> None:
    state = stack.up(STUB="stubborn").state
    began = time.monotonic()
    assert stack.down()
    assert 3.5 < time.monotonic() - began < 8
    assert_nothing_left(stack, state)


def test_a_killed_supervisor_is_recognised_and_its_leftovers_are_removed(stack: StubStack) -> None:
    state = stack.up().state
    os.kill(state.runtime.supervisor.pid, signal.SIGKILL)
    while state.runtime.supervisor.is_alive:
        time.sleep(0.05)
    assert read_state(stack.place) is None
    assert len(members(state)) == 2
    again = stack.up()
    assert again.started
    assert members(state) == []
    assert not Path(state.runtime.directory).exists()


def test_a_pid_that_was_given_again_is_not_taken_for_the_supervisor(stack: StubStack) -> None:
    state = stack.up().state
    stack.down()
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as bystander:
        recycled = state.runtime.supervisor.model_copy(update={"pid": bystander.pid})
        store.save(stack.place.state, state.model_copy(update={"supervisor": recycled}))
        assert read_state(stack.place) is None
        assert stack.down()
        assert bystander.poll() is None
        bystander.kill()
    assert_nothing_left(stack, state)


def test_a_start_that_was_killed_is_cleaned_up_by_the_next(stack: StubStack) -> None:
    state = stack.up().state
    store.save(stack.place.state, state.model_copy(update={"ready": False}))
    assert read_state(stack.place) is None
    again = stack.up()
    assert again.started
    assert again.state.runtime.supervisor != state.runtime.supervisor
    assert members(state) == []


def test_a_session_of_this_number_after_a_reboot_is_left(stack: StubStack) -> None:
    """A daemon whose leader ended can have the number of the supervisor that the file names."""
    state = stack.up().state
    stack.down()
    script = "import subprocess; print(subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL).pid)"
    daemon = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True, check=True)
    bystander = psutil.Process(int(daemon.stdout))
    number = os.getsid(bystander.pid)
    before = state.runtime.supervisor.model_copy(update={"pid": number, "boot": "before the reboot", "started": 1.0})
    store.save(stack.place.state, state.model_copy(update={"supervisor": before}))
    assert stack.down()
    assert bystander.is_running()
    bystander.kill()


@pytest.mark.parametrize("way", ["ensure", "up", "variant"])
def test_a_stack_whose_run_was_killed_is_told_and_not_used(stack: StubStack, way: str) -> None:
    killed = ProcessIdentity.of(0x7FFFFFFF)
    aged = lifecycle.up(stack.settings(), stack.place, replace(stack.caller, owner=killed)).state
    assert aged.owner == killed
    if way == "up":
        outcome: lifecycle.Outcome | None = stack.up()
    elif way == "ensure":
        outcome = ensure(stack.settings(), stack.place, stack.caller)
    else:
        # As a comparison leaves it: below another stack's directory.
        above = StackPaths(stack.place.root.parent / "above")
        above.make()
        above.variants.mkdir()
        (above.variants / "head").symlink_to(stack.place.root)
        lifecycle.down_orphans(variant_places(above), stack.caller)
        outcome = stack.up()
    assert outcome is not None
    assert outcome.started
    assert outcome.state.runtime.supervisor != aged.runtime.supervisor
    assert members(aged) == []
    assert any("started by a run that was killed (pid 2147483647)" in line for line in stack.said)


def test_a_stack_whose_run_goes_on_or_that_a_user_started_is_used(stack: StubStack) -> None:
    for owner in (None, ProcessIdentity.of(os.getpid())):
        first = lifecycle.up(stack.settings(), stack.place, replace(stack.caller, owner=owner)).state
        assert ensure(stack.settings(), stack.place, stack.caller) is None
        assert read_state(stack.place) == first
        stack.down()


def test_files_of_others_are_not_taken_for_a_stacks(stack: StubStack, tmp_path: Path) -> None:
    """PERF_STACK_DIR that leads into somebody's work: old logs and programs of a stack are removed there."""
    work = tmp_path / "work"
    (work / "logs").mkdir(parents=True)
    (work / "logs" / "mine.log").write_text("mine")
    work.chmod(0o755)
    with pytest.raises(UserError, match="is no directory of this toolkit's, logs is in it"):
        lifecycle.up(stack.settings(), StackPaths(work), stack.caller)
    assert (work / "logs" / "mine.log").read_text() == "mine"
    assert work.stat().st_mode & 0o777 == 0o755
    linked = StackPaths(tmp_path / "linked")
    linked.make()
    linked.logs.rmdir()
    linked.logs.symlink_to(work / "logs")
    with pytest.raises(UserError, match="is a symbolic link"):
        lifecycle.up(stack.settings(), linked, stack.caller)
    assert (work / "logs" / "mine.log").read_text() == "mine"


def test_the_sockets_directory_is_kept_from_those_who_tidy_up_tmp(stack: StubStack) -> None:
    """systemd-tmpfiles tries for this lock, and leaves what it does not get."""
    state = stack.up().state
    descriptor = os.open(state.runtime.directory, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    stack.down()
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"balancer": BalancerNode(port=1)}, "several gateways come with a later version"),
        ({"gateways": [], "postgres": PostgresNode(databases=[], connections=1, cpus=0.5)}, "limits of CPU and memory"),
    ],
)
def test_processes_refuse_what_they_cannot_be_given(stack: StubStack, change: dict[str, Any], message: str) -> None:
    topology = topology_of(stack.settings(), redis=False).model_copy(update=change)
    with pytest.raises(UserError, match=message):
        lifecycle.deployment(stack.place).start(topology, stack.caller, timeout_s=1, shared_servers=[])
    assert_nothing_left(stack, None)


def test_the_stack_that_an_earlier_version_started_is_known_and_stopped(stack: StubStack) -> None:
    state = stack.up().state
    runtime, node, access = state.runtime, state.topology.gateways[0], state.gateways[0]
    old = {
        "schema_version": 1,
        "created": "2025-01-01T00:00:00Z",
        "ready": True,
        "supervisor": runtime.supervisor.model_dump(),
        "runtime_dir": runtime.directory,
        "topology": {"gateway": node.model_dump(exclude={"name", "cpus", "memory_mib"}), "servers": [], "redis": False},
        "gateway": access.model_dump(),
        "servers": [],
    }
    stack.place.state.write_text(json.dumps(old))
    read = read_state(stack.place)
    assert read is not None
    assert (read.target, read.topology.gateways, read.runtime) == (access, [node], runtime)
    assert stack.down()
    assert_nothing_left(stack, state)


def test_a_damaged_state_is_one_line(stack: StubStack) -> None:
    stack.place.make()
    stack.place.state.write_text("{")
    with pytest.raises(UserError, match=r"the stack's state is damaged"):
        stack.up()
    stack.place.state.unlink()


def test_a_directory_of_somebody_else_is_refused(stack: StubStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.place.make()
    with monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with pytest.raises(UserError, match=r"belongs to the user with id"):
            stack.place.make()


def test_only_the_stack_that_a_run_started_is_stopped(stack: StubStack, tmp_path: Path) -> None:
    owner = tmp_path / "owner.json"
    assert read_owner(owner) is None
    write_owner(owner, stack.up().state)
    stack.down()
    second = stack.up().state
    assert not lifecycle.down(stack.place, stack.caller, only=read_owner(owner))
    assert read_state(stack.place) == second
    assert lifecycle.down(stack.place, stack.caller, only=second.runtime)


def test_ensure_starts_a_stack_where_nobody_answers_and_uses_it_afterwards(stack: StubStack) -> None:
    settings = stack.settings()
    outcome = ensure(settings, stack.place, stack.caller)
    assert outcome is not None
    assert outcome.started
    assert ensure(settings, stack.place, stack.caller) is None
    other = stack.settings(GREETING="other")
    assert ensure(other, stack.place, stack.caller) is None
    assert "used as it is" in stack.said[-1]


def test_ensure_does_not_trust_a_gateway_whose_supervisor_is_gone(stack: StubStack) -> None:
    state = stack.up().state
    os.kill(state.runtime.supervisor.pid, signal.SIGKILL)
    while state.runtime.supervisor.is_alive:
        time.sleep(0.05)
    outcome = ensure(stack.settings(), stack.place, stack.caller)
    assert outcome is not None
    assert outcome.started


def test_ensure_starts_nothing_where_it_may_not(stack: StubStack) -> None:
    settings = stack.settings()
    service = settings.config.service.model_copy(update={"mode": "external"})
    settings = settings.model_copy(update={"config": settings.config.model_copy(update={"service": service})})
    with pytest.raises(UserError, match=r"no gateway answers at .*: Connection refused"):
        ensure(settings, stack.place, stack.caller)
    assert load_state(stack.place) is None


def test_a_local_stack_does_not_share_its_port_with_a_foreign_gateway(stack: StubStack) -> None:
    settings = stack.settings()
    service = settings.config.service.model_copy(update={"mode": "local"})
    settings = settings.model_copy(update={"config": settings.config.model_copy(update={"service": service})})
    with socket.create_server(("127.0.0.1", stack.ports[0])), pytest.raises(UserError, match="is taken by pid"):
        ensure(settings, stack.place, stack.caller)


def test_a_missing_gateway_says_how_to_get_it(stack: StubStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    settings = stack.settings()
    version = settings.config.stack.gateway.model_copy(update={"version": "0.0.1"})
    section = settings.config.stack.model_copy(update={"gateway": version})
    settings = settings.model_copy(update={"config": settings.config.model_copy(update={"stack": section})})
    with pytest.raises(UserError, match=r"gateway 0\.0\.1 is not installed .* make setup"):
        lifecycle.up(settings, stack.place, stack.caller)
