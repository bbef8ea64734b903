"""Wait until the programs of a stack are ready, in the order of their dependencies, and show the log of a failure."""

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
from benchkit.stack.deployment import StartCallbacks
from benchkit.stack.environment import database_key
from benchkit.stack.postgres import Cluster
from benchkit.stack.programs import GATEWAY, MIGRATION, POSTGRES, PREPARING_DATABASE, REDIS, Layout
from benchkit.stack.readiness import http_problem, redis_problem
from benchkit.stack.state import StackState
from benchkit.stack.supervisor import Program, Supervisor
from benchkit.stack.topology import GATEWAY_DATABASE, GatewayNode, ServerNode

_COMPLETION = "registration"
_POLL_S = 0.1
_STATUS_EVERY_S = 0.5
_SAY_EVERY_S = 5.0
_TAIL_LINES = 15


Step = Iterator[str]
"""The start of one program: yields what it waits for, in words, until the program is ready."""


@dataclass
class Start:
    """A running start: each program has its own steps, and all programs advance at the same time."""

    layout: Layout
    state: StackState
    programs: dict[str, Program]
    caller: StartCallbacks
    timeout_s: float
    ready: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._supervisor = Supervisor(self.layout.sockets.supervisor)
        self._began = time.monotonic()
        self._deadline = self._began + self.timeout_s

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def run(self) -> None:
        """Execute all steps.

        Raises:
            UserError: a program ended or was not ready in time, or a signal arrived.
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
                    self.caller.progress(f"{name}: ready after {self._elapsed_s:.1f} s")
            if not steps:
                return
            now = time.monotonic()
            if now - looked >= _STATUS_EVERY_S:
                looked = now
                self._look(waiting)
            if now >= self._deadline:
                self._fail_late(waiting)
            if now - said >= _SAY_EVERY_S:
                said = now
                whom = "; ".join(f"{name} ({what})" for name, what in _awaited(waiting).items())
                self.caller.progress(
                    f"waiting, {self._elapsed_s:.0f} s of at most {self._deadline - self._began:.0f} s: {whom}"
                )
            time.sleep(_POLL_S)

    def _steps(self) -> dict[str, Step]:
        steps: dict[str, Step] = {}
        if self.layout.topology.redis:
            steps[REDIS] = self._redis()
        if self.layout.topology.postgres is not None:
            steps[POSTGRES] = self._postgres(self.layout.topology.postgres.databases)
        gateway = self.layout.gateway
        if gateway is not None:
            # It takes longest, so it is started first.
            steps[GATEWAY] = self._gateway(gateway)
        steps |= {server.name: self._server(server) for server in self.layout.topology.servers}
        if gateway is not None:
            steps[_COMPLETION] = self._completion(list(steps))
        return steps

    def _redis(self) -> Step:
        self._supervisor.start(self.programs[REDIS])
        yield from _until(lambda: redis_problem(self.layout.sockets.redis))

    def _postgres(self, databases: list[str]) -> Step:
        cluster = self._cluster()
        self._supervisor.start(self.programs[POSTGRES])
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
        self._supervisor.start(self.programs[server.name])
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
        self._supervisor.start(self.programs[GATEWAY])
        yield from _until(lambda: http_problem(port, "/health"))
        yield from _until(lambda: http_problem(port, "/ready"))

    def _completion(self, names: list[str]) -> Step:
        for name in names:
            yield from self._after(name)
        # No with statement, because it would wait for the thread when a signal arrives.
        executor = ThreadPoolExecutor(max_workers=1)
        work = executor.submit(self.caller.complete, self.state)
        executor.shutdown(wait=False)
        while not work.done():
            yield "the gateway lists what they offer"
        work.result()

    def _after(self, name: str) -> Step:
        while name not in self.ready:
            yield f"{name} first"

    # Each start has a gateway with the same history: none. Migrating takes longer than everything else, so it is done
    # once per release and settings, and every start, including the first, uses a copy of the result.

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
        self._supervisor.start(self.programs[MIGRATION])
        while True:
            status = self._supervisor.seen.get(MIGRATION)
            if status is not None and status.has_ended:
                break
            yield "migrations of its database"
        if status.exit_status != 0:
            self._fail_ended(MIGRATION, status.exit_status)
        # The migration runs only once, so the other programs get the full timeout.
        self._deadline = time.monotonic() + self.timeout_s

    def _look(self, waiting: dict[str, str]) -> None:
        """Ask the supervisor, and raise if a program ended that should run."""
        for status in self._supervisor.statuses():
            if status.has_ended and not self.programs[status.name].one_shot:
                what = waiting.get(status.name)
                self._fail_ended(status.name, status.exit_status, f" ({what})" if what else "")

    def _fail_ended(self, name: str, exit_status: int, detail: str = "") -> NoReturn:
        last = self._show_log(name)
        raise UserError(
            f"{name} ended with exit status {exit_status} after {self._elapsed_s:.1f} s{detail}: {last}; "
            f"{self._log(name)}"
        )

    def _fail_late(self, waiting: dict[str, str]) -> NoReturn:
        late = _awaited(waiting)
        name, what = next(iter(late.items()))
        log = name if name in self.programs else GATEWAY
        self._show_log(log)
        raise UserError(
            f"{', '.join(late)} not ready after {self._elapsed_s:.0f} s "
            f"(service.health_check_timeout: {self.timeout_s:g}); {name}: {what}; {self._log(log)}"
        )

    def _log(self, name: str) -> str:
        return f"log: {self.layout.place.logs / name}.log; everything is stopped again"

    def _show_log(self, name: str) -> str:
        """Print the last lines of a program's log, and return the last one."""
        lines = last_lines(self.layout.place.logs / f"{name}.log", _TAIL_LINES)
        for line in lines:
            self.caller.say(f"{name}.log| {line}")
        return lines[-1].strip() if lines else "its log is empty"


def _awaited(waiting: dict[str, str]) -> dict[str, str]:
    """Return the programs that cause the delay; the completion waits for all others, so it counts only if alone."""
    others = {name: what for name, what in waiting.items() if name != _COMPLETION}
    return others or waiting


def _until(problem: Callable[[], str | None]) -> Step:
    while (found := problem()) is not None:
        yield found


def _copy_sqlite(source: Path, target: Path) -> None:
    # Copied through SQLite, because part of the source may still be in a write-ahead log.
    with contextlib.closing(sqlite3.connect(source)) as old, contextlib.closing(sqlite3.connect(target)) as new:
        old.backup(new)


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a text file; empty if it does not exist."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
