"""The stack as local processes: start, stop, status."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchkit import store
from benchkit.errors import UserError, os_reason
from benchkit.identity import ProcessIdentity
from benchkit.settings import ROOT, Settings
from benchkit.stack import processes
from benchkit.stack.environment import ADMIN_EMAIL, Secrets, gateway_environment, new_secrets
from benchkit.stack.lock import locked
from benchkit.stack.postgres import find_postgres
from benchkit.stack.programs import (
    GATEWAY,
    MIGRATION,
    Installation,
    Layout,
    Sockets,
    gateway_database_url,
    redis_url,
    render_environment,
    render_programs,
)
from benchkit.stack.start import Limit, Say, Start, StartCallbacks, last_lines
from benchkit.stack.state import (
    PRIVATE_DIRECTORY,
    PRIVATE_FILE,
    GatewayAccess,
    ServerAccess,
    StackPaths,
    StackState,
    SupervisorProcess,
    is_orphan,
    is_running,
    load_state,
)
from benchkit.stack.supervisor import Program, ProgramStatus, Supervisor, render_config
from benchkit.stack.topology import Part, Topology, differences, topology_of

_LOCK_S = 120.0
_POLL_S = 0.05
_SUPERVISOR_START_S = 15.0
_SUPERVISOR_OUTPUT = "supervisord.out"
# Together with what follows (KILL, and a second to see its effect) less than 8 s.
_ORDERLY_STOP_S = 5.8
_LATE_TERMINATE_S = 0.5
_STALE_TERMINATE_S = 4.0
_RUNTIME_PREFIX = "mcp-benchmark-"
# Not $TMPDIR, which is longer than a socket's path may be on some systems, and not $XDG_RUNTIME_DIR, which is emptied
# when the user logs out, while the stack goes on.
_RUNTIME_PARENT = Path("/tmp")  # noqa: S108 - mkdtemp makes a directory of mode 0700 with a name of its own


@dataclass(frozen=True)
class Outcome:
    """A stack that is ready; ``started``: by this call."""

    state: StackState
    started: bool


@dataclass(frozen=True)
class ProgramReport:
    """A program as ``status`` shows it. ``memory`` in bytes, absent when it does not run."""

    status: ProgramStatus
    port: int | None
    memory: int | None


# ---------------------------------------------------------------------------------------------------------------------
# Up


def up(
    settings: Settings,
    place: StackPaths,
    caller: StartCallbacks,
    *,
    part: Part = "all",
    shared_servers: Sequence[ServerAccess] = (),
) -> Outcome:
    """Start the stack that the settings ask for, unless it runs already, and wait until it is ready.

    Args:
        settings: what it is made of.
        place: its directory.
        caller: hears what is waited for.
        part: start the gateway without servers, or servers without a gateway.
        shared_servers: the servers of another stack, which a gateway without its own gets.

    Raises:
        UserError: another stack runs, a port is taken, something is not installed, did not get ready in time, or a
            signal came. Whatever this call started is stopped again.
    """
    redis_server = shutil.which("redis-server")
    topology = topology_of(settings, redis=redis_server is not None, part=part)
    place.make()
    with locked(place, timeout_s=_LOCK_S, interrupt=caller.interrupt, say=caller.progress):
        state = load_state(place)
        if state is not None and state.ready and is_running(state) and not is_orphan(state):
            _check_running(state, topology)
            return Outcome(state, started=False)
        if state is not None:
            caller.say(f"{_what_was_left(state)}: removing what it left")
            _sweep(state, place)
        _check_ports(topology, part, caller.say)
        installation = find_installation(topology, redis_server)
        timeout_s = settings.config.service.health_check_timeout
        begun = _Begin(topology, place, installation, list(shared_servers))
        return Outcome(_start(begun, timeout_s, caller), started=True)


def _what_was_left(state: StackState) -> str:
    if state.owner is not None and is_orphan(state):
        return f"this stack was started by a run that was killed (pid {state.owner.pid})"
    return "an earlier stack did not end properly"


def down_orphans(places: Sequence[StackPaths], caller: StartCallbacks) -> None:
    """Stop the stacks among these whose runs were killed; raises as :func:`down`."""
    for place in places:
        state = load_state(place)
        if state is not None and is_orphan(state):
            caller.say(f"{place.root}: {_what_was_left(state)}: stopping it")
            down(place, caller, only=state.supervisor)


def _check_running(state: StackState, wanted: Topology) -> None:
    different = differences(state.topology, wanted)
    if different:
        raise UserError(f"another stack is up: {'; '.join(different)}: run make down first")
    ended = [status.name for status in _statuses(state) if not status.runs]
    if ended:
        raise UserError(f"the stack is up, but {', '.join(ended)} ended (make logs): run make down first")


def _check_ports(topology: Topology, part: Part, say: Say) -> None:
    wanted = []
    whole = part == "all"
    if topology.gateway is not None:
        remedy = "GATEWAY_URL=http://127.0.0.1:PORT" if whole else "paired.first_port of config.yaml"
        wanted.append((GATEWAY, topology.gateway.port, remedy))
    remedy = "PERF_FIRST_SERVER_PORT=PORT" if whole else "paired.first_server_port of config.yaml"
    wanted += [(server.name, server.port, remedy) for server in topology.servers]
    problems = []
    for name, port, remedy in wanted:
        owner = processes.port_owner(port)
        if owner is not None:
            problems.append(f"port {port} (for {name}) is taken by {owner}: stop that, or choose another with {remedy}")
    if len(problems) == 1:
        raise UserError(f"{problems[0]}; nothing was started")
    if problems:
        for problem in problems:
            say(f"error: {problem}")
        raise UserError(f"{len(problems)} ports are taken; nothing was started")


def find_installation(topology: Topology, redis_server: str | None) -> Installation:
    """What a topology's programs are started from, on this machine.

    Raises:
        UserError: the gateway's release or PostgreSQL is not installed.
    """
    gateway = topology.gateway
    installation = Installation(
        python=Path(sys.executable),
        server_script=ROOT / "servers" / "time_server.py",
        gateway=ROOT / ".tools" / "gateway" / gateway.installation if gateway is not None else None,
        postgres=find_postgres() if topology.postgres is not None else None,
        redis_server=redis_server,
    )
    if gateway is not None and not installation.gateway_python.exists():
        raise UserError(f"gateway {gateway.version} is not installed in {installation.gateway}: run make setup")
    return installation


@dataclass(frozen=True)
class _Begin:
    """What a start begins with."""

    topology: Topology
    place: StackPaths
    installation: Installation
    shared_servers: list[ServerAccess]


def _start(begun: _Begin, timeout_s: float, caller: StartCallbacks) -> StackState:
    topology, place, installation = begun.topology, begun.place, begun.installation
    sockets = _make_sockets(installation)
    supervisor: subprocess.Popen[bytes] | None = None
    try:
        own = _secrets(place)
        layout = Layout(topology, place, sockets, installation, _gateway_environment(topology, own, sockets))
        programs = render_programs(layout)
        _write_files(layout, programs)
        with _kept(sockets.root) as runtime:
            supervisor = _launch_supervisor(place, runtime)
        state = _initial_state(layout, own, supervisor.pid, begun.shared_servers)
        state = state.model_copy(update={"owner": caller.owner})
        store.save(place.state, state, mode=PRIVATE_FILE)
        caller.began(state)
        _await_supervisor(supervisor, sockets, place, caller)
        start = Start(
            layout=layout,
            state=state,
            programs={program.name: program for program in programs},
            supervisor=Supervisor(sockets.supervisor),
            caller=caller,
            limit=Limit(timeout_s),
        )
        start.run()
        state = state.model_copy(update={"ready": True})
        store.save(place.state, state, mode=PRIVATE_FILE)
    except BaseException:
        left: list[psutil.Process] = []
        if supervisor is not None:
            left = _end_session(_identity(supervisor.pid, sockets))
            supervisor.poll()
        shutil.rmtree(sockets.root, ignore_errors=True)
        if not left:
            # Otherwise make down finds them by it.
            place.state.unlink(missing_ok=True)
        raise
    # It goes on without this process, which is not going to wait for it.
    supervisor.returncode = 0
    return state


def _gateway_environment(topology: Topology, own: Secrets, sockets: Sockets) -> dict[str, str]:
    if topology.gateway is None:
        return {}
    return gateway_environment(
        topology.gateway,
        own,
        host=processes.LOOPBACK,
        database_url=gateway_database_url(topology.gateway, sockets),
        redis_url=redis_url(topology, sockets),
    )


def _make_sockets(installation: Installation) -> Sockets:
    sockets = Sockets(Path(tempfile.mkdtemp(prefix=_RUNTIME_PREFIX, dir=_RUNTIME_PARENT)))
    Path(sockets.postgres).mkdir(mode=PRIVATE_DIRECTORY)
    if installation.gateway is not None:
        sockets.gateway.symlink_to(installation.gateway)
    return sockets


def _secrets(place: StackPaths) -> Secrets:
    if place.secrets.exists():
        return store.load(place.secrets, Secrets, "stack's secrets")
    made = new_secrets()
    store.save(place.secrets, made, mode=PRIVATE_FILE)
    return made


def _write_files(layout: Layout, programs: list[Program]) -> None:
    place, postgres = layout.place, layout.installation.postgres
    if postgres is not None and postgres.user is not None:
        for directory in (place.postgres, Path(layout.sockets.postgres)):
            shutil.chown(directory, postgres.user)
    for old in (*place.logs.iterdir(), *place.programs.iterdir(), *place.tokens):
        old.unlink()
    for program in programs:
        store.write_text(place.programs / program.name, program.script, mode=PRIVATE_FILE)
    variables = {"HOME": str(place.gateway), **layout.environment}
    store.write_text(place.gateway_environment, render_environment(variables), mode=PRIVATE_FILE)
    store.write_text(place.supervisor_config, render_config(programs, layout.sockets.supervisor), mode=PRIVATE_FILE)


@contextlib.contextmanager
def _kept(directory: Path) -> Iterator[int]:
    """A locked descriptor of a directory below /tmp, for the supervisor to inherit.

    systemd-tmpfiles removes what is old there, but leaves a directory alone that somebody holds a lock of.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with contextlib.suppress(OSError):  # Without it the directory is no worse off than any other.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)


def _launch_supervisor(place: StackPaths, runtime: int) -> subprocess.Popen[bytes]:
    # All that the programs inherit; a session of its own keeps the terminal's Ctrl-C away.
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(place.root),
        "LANG": "C.UTF-8",
        "TMPDIR": str(place.temporary),
    }
    command = [sys.executable, "-I", "-m", "supervisor.supervisord", "--nodaemon", "--configuration=supervisord.conf"]
    with (place.logs / _SUPERVISOR_OUTPUT).open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=place.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            close_fds=True,
            pass_fds=(runtime,),
        )


def _await_supervisor(
    process: subprocess.Popen[bytes], sockets: Sockets, place: StackPaths, caller: StartCallbacks
) -> None:
    deadline = time.monotonic() + _SUPERVISOR_START_S
    supervisor = Supervisor(sockets.supervisor)
    while not supervisor.answers():
        caller.interrupt.check()
        if process.poll() is not None or time.monotonic() > deadline:
            what = "does not answer" if process.returncode is None else f"ended with exit status {process.returncode}"
            last = last_lines(place.logs / _SUPERVISOR_OUTPUT, 2) or last_lines(place.logs / "supervisord.log", 1)
            raise UserError(f"the stack's supervisor {what}: {' '.join(last)}; logs: {place.logs}/supervisord.*")
        time.sleep(_POLL_S)


def _identity(pid: int, sockets: Sockets) -> SupervisorProcess:
    return SupervisorProcess(**ProcessIdentity.of(pid).model_dump(), socket=sockets.supervisor)


def _initial_state(layout: Layout, own: Secrets, pid: int, shared_servers: list[ServerAccess]) -> StackState:
    topology, place, sockets = layout.topology, layout.place, layout.sockets

    def url(port: int, path: str = "") -> str:
        return f"http://{processes.LOOPBACK}:{port}{path}"

    return StackState(
        created=datetime.now(UTC),
        ready=False,
        supervisor=_identity(pid, sockets),
        runtime_dir=str(sockets.root),
        topology=topology,
        gateway=GatewayAccess(
            url=url(topology.gateway.port),
            email=ADMIN_EMAIL,
            password=own.admin_password,
            python=str(layout.installation.gateway_python),
            env_file=str(place.gateway_environment),
            version=topology.gateway.version,
        )
        if topology.gateway is not None
        else None,
        servers=shared_servers
        + [
            ServerAccess(
                name=server.name,
                url=url(server.port, "/mcp"),
                counters_url=url(server.port, "/counters"),
                database=server.database,
            )
            for server in topology.servers
        ],
    )


# ---------------------------------------------------------------------------------------------------------------------
# Down


def down(place: StackPaths, caller: StartCallbacks, *, only: SupervisorProcess | None = None) -> bool:
    """Stop the stack and whatever an earlier one left; false when there was nothing to stop.

    Args:
        place: the stack's directory.
        caller: hears what is waited for.
        only: stop the stack only when it is this supervisor's.

    Raises:
        UserError: a process could not be ended, or the state is damaged.
    """
    if not place.root.exists():
        return False
    with locked(place, timeout_s=_LOCK_S, interrupt=caller.interrupt, say=caller.progress):
        state = load_state(place)
        if state is None or (only is not None and state.supervisor != only):
            return False
        _sweep(state, place)
        return True


def _sweep(state: StackState, place: StackPaths) -> None:
    left = _end_session(state.supervisor)
    if left:
        names = ", ".join(f"pid {process.pid}" for process in left)
        raise UserError(f"the stack is not stopped: {names} cannot be ended; end it by hand and run make down again")
    runtime = Path(state.runtime_dir)
    if runtime.name.startswith(_RUNTIME_PREFIX):
        shutil.rmtree(runtime, ignore_errors=True)
    try:
        place.state.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{place.state}: cannot be removed: {os_reason(error)}") from error


def _end_session(supervisor: SupervisorProcess) -> list[psutil.Process]:
    """End all processes of a supervisor's session, within 8 s; returns those that live on."""
    terminate_s = _STALE_TERMINATE_S
    if supervisor.is_alive:
        # It stops the gateway and the servers, then the databases; four seconds after TERM it takes KILL.
        if _shut_down(supervisor):
            return []
        terminate_s = _LATE_TERMINATE_S
    return processes.end(processes.session_members(supervisor), terminate_s=terminate_s)


def _shut_down(supervisor: SupervisorProcess) -> bool:
    """Let the supervisor stop everything; false when that takes too long."""
    deadline = time.monotonic() + _ORDERLY_STOP_S
    rpc = Supervisor(supervisor.socket)
    try:
        rpc.shut_down()
    except UserError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervisor.pid, signal.SIGTERM)
    while processes.session_members(supervisor):
        if time.monotonic() > deadline:
            return False
        # Being asked wakes it; by itself it looks once a second whether a process has ended.
        rpc.answers()
        time.sleep(_POLL_S)
    return True


# ---------------------------------------------------------------------------------------------------------------------
# Status


def report(state: StackState) -> list[ProgramReport]:
    """What each program of a running stack does.

    Raises:
        UserError: the supervisor does not answer.
    """
    gateway = state.topology.gateway
    ports: dict[str, int | None] = {GATEWAY: gateway.port} if gateway is not None else {}
    ports |= {server.name: server.port for server in state.topology.servers}
    return [
        ProgramReport(status=status, port=ports.get(status.name), memory=_memory(status)) for status in _statuses(state)
    ]


def _statuses(state: StackState) -> list[ProgramStatus]:
    return [status for status in Supervisor(state.supervisor.socket).statuses() if status.name != MIGRATION]


def _memory(status: ProgramStatus) -> int | None:
    if not status.runs:
        return None
    try:
        return processes.memory_bytes(psutil.Process(status.pid))
    except psutil.Error:
        return None
