"""From started to ready: what each program needs first, how it says that it is ready, and what goes wrong meanwhile."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from benchkit.errors import UserError
from benchkit.identity import ProcessIdentity
from benchkit.stack.environment import database_key
from benchkit.stack.interrupt import Interrupt
from benchkit.stack.postgres import Cluster
from benchkit.stack.programs import GATEWAY, MIGRATION, POSTGRES, PREPARING_DATABASE, REDIS, Layout
from benchkit.stack.readiness import http_problem, redis_problem
from benchkit.stack.state import StackState
from benchkit.stack.supervisor import Program, Supervisor
from benchkit.stack.topology import GATEWAY_DATABASE, GatewayNode, ServerNode

Say = Callable[[str], None]
"""Takes a line for the user."""

_COMPLETION = "registration"
_POLL_S = 0.1
_STATUS_EVERY_S = 0.5
_SAY_EVERY_S = 5.0
_TAIL_LINES = 15


def _nothing(_state: StackState) -> None:
    return


@dataclass(frozen=True)
class StartCallbacks:
    """Who asked: ``say`` takes lines for the user, ``interrupt`` knows of signals.

    ``began`` is called as soon as there is something that would have to be stopped. ``complete`` is called in a thread
    when all programs are ready, and belongs to the start: when it fails, or a signal comes meanwhile, all is stopped.
    ``owner``: the run that stops what is started here; absent where that is left to the user.
    """

    say: Say
    interrupt: Interrupt
    began: Callable[[StackState], None] = _nothing
    complete: Callable[[StackState], None] = _nothing
    owner: ProcessIdentity | None = None
    quiet: bool = False
    """Lines about progress are not shown."""

    def progress(self, line: str) -> None:
        """Show how far a start is, which is of interest only while somebody waits for it."""
        if not self.quiet:
            self.say(line)


class Limit:
    """The time that a start may take, in seconds; what is done once (migrations) gives the rest a new one."""

    def __init__(self, allowed_s: float) -> None:
        self.allowed_s = allowed_s
        self._began = time.monotonic()
        self._end = self._began + allowed_s

    @property
    def elapsed_s(self) -> float:
        """How long it took so far."""
        return time.monotonic() - self._began

    @property
    def total_s(self) -> float:
        """How long it may take at most."""
        return self._end - self._began

    def renew(self) -> None:
        """Count the allowed time from now."""
        self._end = time.monotonic() + self.allowed_s


Step = Iterator[str]
"""What one program goes through until it is ready: yields, again and again, what it waits for."""


@dataclass
class Start:
    """A start under way: every program goes through its own steps, all at the same time."""

    layout: Layout
    state: StackState
    programs: dict[str, Program]
    supervisor: Supervisor
    caller: StartCallbacks
    limit: Limit
    ready: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Go through all steps.

        Raises:
            UserError: a program ended or did not get ready in time, or a signal came.
        """
        steps = self._steps()
        waiting = dict.fromkeys(steps, "")
        said = looked = time.monotonic()
        while True:
            self.caller.interrupt.check()
            for name, step in list(steps.items()):
                try:
                    waiting[name] = next(step)
                except StopIteration:
                    del steps[name], waiting[name]
                    self.ready.add(name)
                    self.caller.progress(f"{name}: ready after {self.limit.elapsed_s:.1f} s")
            if not steps:
                return
            now = time.monotonic()
            if now - looked >= _STATUS_EVERY_S:
                looked = now
                self._look(waiting)
            if self.limit.elapsed_s >= self.limit.total_s:
                self._fail_late(waiting)
            if now - said >= _SAY_EVERY_S:
                said = now
                whom = "; ".join(f"{name} ({what})" for name, what in _awaited(waiting).items())
                self.caller.progress(
                    f"waiting, {self.limit.elapsed_s:.0f} s of at most {self.limit.total_s:.0f} s: {whom}"
                )
            time.sleep(_POLL_S)

    def _steps(self) -> dict[str, Step]:
        steps: dict[str, Step] = {}
        if self.layout.topology.redis:
            steps[REDIS] = self._redis()
        if self.layout.topology.postgres is not None:
            steps[POSTGRES] = self._postgres(self.layout.topology.postgres.databases)
        gateway = self.layout.topology.gateway
        if gateway is not None:
            # It takes longest, so it comes first.
            steps[GATEWAY] = self._gateway(gateway)
        steps |= {server.name: self._server(server) for server in self.layout.topology.servers}
        if gateway is not None:
            steps[_COMPLETION] = self._completion(list(steps))
        return steps

    def _redis(self) -> Step:
        self.supervisor.start(self.programs[REDIS])
        yield from _until(lambda: redis_problem(self.layout.sockets.redis))

    def _postgres(self, databases: list[str]) -> Step:
        cluster = self._cluster()
        self.supervisor.start(self.programs[POSTGRES])
        yield from _until(cluster.problem)
        there = cluster.databases()
        cluster.create([name for name in databases if name not in there])

    def _cluster(self) -> Cluster:
        installation = self.layout.installation.postgres
        assert installation is not None
        return Cluster(installation, self.layout.sockets.postgres)

    def _server(self, server: ServerNode) -> Step:
        if server.database == "postgresql":
            yield from self._after(POSTGRES)
        self.supervisor.start(self.programs[server.name])
        yield from _until(lambda: http_problem(server.port, "/health"))

    def _gateway(self, gateway: GatewayNode) -> Step:
        if gateway.database == "postgresql":
            yield from self._after(POSTGRES)
            yield from self._fresh_postgres_database(gateway)
        else:
            yield from self._fresh_sqlite_database(gateway)
        if self.layout.topology.redis:
            yield from self._after(REDIS)
        port = gateway.port
        self.supervisor.start(self.programs[GATEWAY])
        yield from _until(lambda: http_problem(port, "/health"))
        yield from _until(lambda: http_problem(port, "/ready"))

    def _completion(self, names: list[str]) -> Step:
        for name in names:
            yield from self._after(name)
        # Not with the statement with, which would wait for the thread when a signal comes.
        executor = ThreadPoolExecutor(max_workers=1)
        work = executor.submit(self.caller.complete, self.state)
        executor.shutdown(wait=False)
        while not work.done():
            yield "the gateway lists what they offer"
        work.result()

    def _after(self, name: str) -> Step:
        while name not in self.ready:
            yield f"{name} first"

    # Each start has a gateway with the same history: none. Migrating takes longer than all the rest, so it is done once
    # for a release and its settings, and every start, the first one too, gets a copy of the outcome.

    def _fresh_sqlite_database(self, gateway: GatewayNode) -> Step:
        pristine = self.layout.place.gateway / f"pristine-{self._key(gateway)}.db"
        if not pristine.exists():
            yield from self._migrate()
            (self.layout.place.gateway / f"{PREPARING_DATABASE}.db").rename(pristine)
        for leftover in self.layout.place.gateway.glob(f"{GATEWAY_DATABASE}.db*"):
            leftover.unlink()
        _copy_sqlite(pristine, self.layout.place.gateway / f"{GATEWAY_DATABASE}.db")

    def _fresh_postgres_database(self, gateway: GatewayNode) -> Step:
        cluster = self._cluster()
        pristine = f"pristine_{self._key(gateway)}"
        if pristine not in cluster.databases():
            cluster.replace(PREPARING_DATABASE, "template1")
            yield from self._migrate()
            cluster.rename(PREPARING_DATABASE, pristine)
        cluster.replace(GATEWAY_DATABASE, pristine)

    def _key(self, gateway: GatewayNode) -> str:
        return database_key(gateway, self.layout.installation.gateway_build, self.layout.environment)

    def _migrate(self) -> Step:
        self.caller.say(f"{GATEWAY}: preparing its database, once for this release and its settings")
        self.supervisor.start(self.programs[MIGRATION])
        while True:
            status = self.supervisor.seen.get(MIGRATION)
            if status is not None and status.has_ended:
                break
            yield "migrations of its database"
        if status.exit_status != 0:
            self._fail_ended(MIGRATION, status.exit_status)
        self.limit.renew()

    def _look(self, waiting: dict[str, str]) -> None:
        """Ask the supervisor, and give up when a program ended that should run."""
        for status in self.supervisor.statuses():
            if status.has_ended and not self.programs[status.name].one_shot:
                what = waiting.get(status.name)
                self._fail_ended(status.name, status.exit_status, f" ({what})" if what else "")

    def _fail_ended(self, name: str, exit_status: int, detail: str = "") -> NoReturn:
        last = self._show_log(name)
        raise UserError(
            f"{name} ended with exit status {exit_status} after {self.limit.elapsed_s:.1f} s{detail}: {last}; "
            f"{self._log(name)}"
        )

    def _fail_late(self, waiting: dict[str, str]) -> NoReturn:
        late = _awaited(waiting)
        name, what = next(iter(late.items()))
        log = name if name in self.programs else GATEWAY
        self._show_log(log)
        raise UserError(
            f"{', '.join(late)} not ready after {self.limit.elapsed_s:.0f} s "
            f"(service.health_check_timeout: {self.limit.allowed_s:g}); {name}: {what}; {self._log(log)}"
        )

    def _log(self, name: str) -> str:
        return f"log: {self.layout.place.logs / name}.log; everything is stopped again"

    def _show_log(self, name: str) -> str:
        """Say the last lines of a program's log, and return the last one."""
        lines = last_lines(self.layout.place.logs / f"{name}.log", _TAIL_LINES)
        for line in lines:
            self.caller.say(f"{name}.log| {line}")
        return lines[-1].strip() if lines else "its log is empty"


def _awaited(waiting: dict[str, str]) -> dict[str, str]:
    """Those that matter: the completion waits for all others, so it is not to blame while there is another."""
    others = {name: what for name, what in waiting.items() if name != _COMPLETION}
    return others or waiting


def _until(problem: Callable[[], str | None]) -> Step:
    while (found := problem()) is not None:
        yield found


def _copy_sqlite(source: Path, target: Path) -> None:
    # Through SQLite, which knows what of the source still stands in a write-ahead log.
    with contextlib.closing(sqlite3.connect(source)) as old, contextlib.closing(sqlite3.connect(target)) as new:
        old.backup(new)


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a text file; none when it is not there."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
