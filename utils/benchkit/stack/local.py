"""The stack as local processes under a supervisor."""

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
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchkit import store
from benchkit.errors import UserError, os_reason
from benchkit.identity import ProcessIdentity
from benchkit.model import ComponentKind
from benchkit.settings import ROOT
from benchkit.stack import processes
from benchkit.stack.deployment import ProgramStatus, StartCallbacks
from benchkit.stack.environment import ADMIN_EMAIL, Secrets, new_secrets
from benchkit.stack.postgres import find_postgres
from benchkit.stack.programs import (
    GATEWAY,
    MIGRATION,
    POSTGRES,
    REDIS,
    Installation,
    Layout,
    Sockets,
    render_environment,
    render_programs,
)
from benchkit.stack.start import Start, last_lines
from benchkit.stack.state import (
    PRIVATE_DIRECTORY,
    PRIVATE_FILE,
    GatewayAccess,
    ProcessRuntime,
    ServerAccess,
    StackPaths,
    StackState,
    SupervisorProcess,
)
from benchkit.stack.supervisor import Program, Supervisor, render_config
from benchkit.stack.topology import Topology, address_of

_POLL_S = 0.05
_SUPERVISOR_START_S = 15.0
_SUPERVISOR_OUTPUT = "supervisord.out"
# With the following KILL, and a second to see its effect, this takes less than 8 s.
_ORDERLY_STOP_S = 5.8
_LATE_TERMINATE_S = 0.5
_STALE_TERMINATE_S = 4.0
_RUNTIME_PREFIX = "mcp-benchmark-"
# Not $TMPDIR, which is too long for a socket's path on some systems, and not $XDG_RUNTIME_DIR, which is emptied when
# the user logs out, although the stack continues.
_RUNTIME_PARENT = Path("/tmp")  # noqa: S108 - mkdtemp makes a directory of mode 0700 with a name of its own
_KINDS: dict[str, ComponentKind] = {GATEWAY: "gateway", POSTGRES: "database", REDIS: "cache"}


class LocalProcesses:
    """The stack of one directory as local processes; see :class:`benchkit.stack.deployment.Deployment`."""

    def __init__(self, place: StackPaths) -> None:
        self._place = place
        self._redis_server = shutil.which("redis-server")

    @property
    def has_redis(self) -> bool:
        """Whether this machine has a ``redis-server``."""
        return self._redis_server is not None

    def start(
        self, topology: Topology, callbacks: StartCallbacks, *, timeout_s: float, shared_servers: Sequence[ServerAccess]
    ) -> StackState:
        """Start the supervisor, then each program as soon as its dependencies are ready."""
        _check_form(topology)
        place, installation = self._place, find_installation(topology, self._redis_server)
        sockets = _make_sockets(installation)
        supervisor: subprocess.Popen[bytes] | None = None
        try:
            own = _secrets(place)
            layout = Layout(topology, place, sockets, installation, own)
            programs = render_programs(layout)
            _write_files(layout, programs)
            with _kept(sockets.root) as runtime:
                supervisor = _launch_supervisor(place, runtime)
            state = StackState(
                created=datetime.now(UTC),
                ready=False,
                runtime=_runtime(supervisor.pid, sockets),
                topology=topology,
                gateways=_gateways(layout),
                servers=[*shared_servers, *_servers(topology)],
                owner=callbacks.owner,
            )
            store.save(place.state, state, mode=PRIVATE_FILE)
            callbacks.began(state)
            _await_supervisor(supervisor, sockets, place, callbacks)
            Start(
                layout=layout,
                state=state,
                programs={program.name: program for program in programs},
                caller=callbacks,
                timeout_s=timeout_s,
            ).run()
            state = state.model_copy(update={"ready": True})
            store.save(place.state, state, mode=PRIVATE_FILE)
        except BaseException:
            left: list[psutil.Process] = []
            if supervisor is not None:
                left = _end_session(_runtime(supervisor.pid, sockets).supervisor)
                supervisor.poll()
            shutil.rmtree(sockets.root, ignore_errors=True)
            if not left:
                # Otherwise make down needs the file to find them.
                place.state.unlink(missing_ok=True)
            raise
        # The supervisor outlives this process, which does not wait for it.
        supervisor.returncode = 0
        return state

    def statuses(self, state: StackState) -> list[ProgramStatus]:
        """Ask the supervisor; the migration of the gateway's database ends by itself and is not listed."""
        ports = {node.name: node.port for node in state.topology.listeners}
        return [
            replace(status, kind=_KINDS.get(status.name, "server"), port=ports.get(status.name))
            for status in Supervisor(state.runtime.supervisor.socket).statuses()
            if status.name != MIGRATION
        ]

    def log_command(self, name: str | None, *, lines: int, follow: bool) -> list[str]:
        """Return a ``tail`` command, which handles rotated files, terminals and broken pipes."""
        logs = self._place.logs
        names = sorted(path.stem for path in logs.glob("*.log"))
        if not names:
            raise UserError("there are no logs: the stack was never up (make up)")
        if name is not None and name not in names:
            raise UserError(f"there is no log of {name!r}; there are: {', '.join(names)}")
        files = [str(logs / f"{each}.log") for each in ([name] if name else names)]
        return ["tail", "-n", str(lines), *(["-F"] if follow else []), *files]

    def stop(self, state: StackState) -> None:
        """End all processes of the supervisor's session within 8 s."""
        left = _end_session(state.runtime.supervisor)
        if left:
            names = ", ".join(f"pid {process.pid}" for process in left)
            raise UserError(
                f"the stack is not stopped: {names} cannot be ended; end it by hand and run make down again"
            )
        runtime = Path(state.runtime.directory)
        if runtime.name.startswith(_RUNTIME_PREFIX):
            shutil.rmtree(runtime, ignore_errors=True)
        try:
            self._place.state.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{self._place.state}: cannot be removed: {os_reason(error)}") from error


def _check_form(topology: Topology) -> None:
    if topology.balancer is not None:
        raise UserError("several gateways come with a later version: a stack of local processes has one gateway")
    if any(node.cpus or node.memory_mib for node in [*topology.listeners, *filter(None, [topology.postgres])]):
        raise UserError("limits of CPU and memory come with a later version: local processes have none")


def find_installation(topology: Topology, redis_server: str | None) -> Installation:
    """Find the installed programs of a topology on this machine.

    Raises:
        UserError: the gateway's release or PostgreSQL is not installed.
    """
    gateway = next(iter(topology.gateways), None)
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


def _gateways(layout: Layout) -> list[GatewayAccess]:
    return [
        GatewayAccess(
            url=address_of(gateway.port),
            email=ADMIN_EMAIL,
            password=layout.secrets.admin_password,
            python=str(layout.installation.gateway_python),
            env_file=str(layout.place.gateway_environment),
            version=gateway.version,
        )
        for gateway in layout.topology.gateways
    ]


def _servers(topology: Topology) -> list[ServerAccess]:
    return [
        ServerAccess(
            name=server.name,
            url=address_of(server.port, "/mcp"),
            counters_url=address_of(server.port, "/counters"),
            database=server.database,
        )
        for server in topology.servers
    ]


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
    """Yield a locked descriptor of a directory below /tmp, which the supervisor inherits.

    systemd-tmpfiles removes old files there, but skips a directory that is locked.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with contextlib.suppress(OSError):  # without the lock the directory still works
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)


def _launch_supervisor(place: StackPaths, runtime: int) -> subprocess.Popen[bytes]:
    # The programs inherit only these variables; a session of its own keeps the terminal's Ctrl-C away.
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


def _runtime(pid: int, sockets: Sockets) -> ProcessRuntime:
    supervisor = SupervisorProcess(**ProcessIdentity.of(pid).model_dump(), socket=sockets.supervisor)
    return ProcessRuntime(supervisor=supervisor, directory=str(sockets.root))


def _end_session(supervisor: SupervisorProcess) -> list[psutil.Process]:
    """End all processes of a supervisor's session within 8 s; return those that are still alive."""
    terminate_s = _STALE_TERMINATE_S
    if supervisor.is_alive:
        # It stops the gateway and the servers first, then the databases; it sends KILL four seconds after TERM.
        if _shut_down(supervisor):
            return []
        terminate_s = _LATE_TERMINATE_S
    return processes.end(processes.session_members(supervisor), terminate_s=terminate_s)


def _shut_down(supervisor: SupervisorProcess) -> bool:
    """Let the supervisor stop everything; return false if that takes too long."""
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
        # A request wakes it; otherwise it checks only once a second whether a process has ended.
        rpc.answers()
        time.sleep(_POLL_S)
    return True
