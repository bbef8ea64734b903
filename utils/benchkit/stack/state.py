"""The paths of a stack's files, and ``stack.json``, which describes the running stack."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from benchkit import store
from benchkit.errors import UserError, os_reason
from benchkit.identity import ProcessIdentity, is_mine
from benchkit.model import Model
from benchkit.model.upgrades import Upgrade, stack_of_one_gateway
from benchkit.settings import ROOT
from benchkit.stack.topology import Database, Topology, address_of

MARK = ".benchmark-stack"
"""The file that marks a stack's directory. Other directories are neither written to nor removed."""

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600


class SupervisorProcess(ProcessIdentity):
    """The process whose session contains all others."""

    socket: str


class ProcessRuntime(Model):
    """The supervisor of a stack of local processes. ``directory`` holds the Unix sockets."""

    form: Literal["processes"] = "processes"
    supervisor: SupervisorProcess
    directory: str

    @property
    def is_alive(self) -> bool:
        """Whether the supervisor runs."""
        return self.supervisor.is_alive


class GatewayAccess(Model):
    """The address and the administrator's login of one of the stack's gateways.

    ``python`` is the interpreter of its environment. ``env_file`` contains the variables that it was started with
    (shell syntax, ``export NAME=value``).
    """

    url: str
    email: str
    password: str
    python: str
    env_file: str
    version: str


class ServerAccess(Model):
    """The addresses of a simulated server: ``url`` for MCP, ``counters_url`` for its counters."""

    name: str
    url: str
    counters_url: str
    database: Database


class StackState(Model):
    """``stack.json``. It is written before the first program starts; ``ready`` becomes true when all of them are.

    ``servers`` are registered with the gateways: this stack's own, or those of another stack that a gateway without
    servers shares. ``owner`` is the run that stops this stack when it ends; ``None`` if a user started it.
    """

    OLDER: ClassVar[Mapping[int, Upgrade]] = {1: stack_of_one_gateway}

    schema_version: Literal[2] = 2
    created: datetime
    ready: bool
    runtime: ProcessRuntime
    topology: Topology
    gateways: list[GatewayAccess]
    servers: list[ServerAccess]
    owner: ProcessIdentity | None = None

    @model_validator(mode="after")
    def _all_gateways_can_be_reached(self) -> Self:
        if len(self.gateways) != len(self.topology.gateways):
            raise ValueError("gateways and topology.gateways differ in number")
        return self

    @property
    def target(self) -> GatewayAccess | None:
        """The gateway under test, or the balancer in front of it; ``None`` without a gateway."""
        if self.topology.balancer is not None:
            return self.gateways[0].model_copy(update={"url": address_of(self.topology.balancer.port)})
        return self.gateways[0] if self.gateways else None

    @property
    def is_orphan(self) -> bool:
        """Whether it belongs to a run that was killed, so that nothing else will stop it."""
        return self.owner is not None and self.owner.is_gone


class _Below:
    """A path below a stack's directory."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, place: StackPaths, _owner: object = None) -> Path:
        return place.root / self._name


@dataclass(frozen=True)
class StackPaths:
    """The directory ``root`` of a stack, which contains everything that the stack writes except its sockets."""

    root: Path

    state = _Below("stack.json")
    """The document that :func:`load_state` reads."""
    variants = _Below("variants")
    """The stacks of gateways that are measured side by side."""
    lock = _Below("lock")
    """Locked while the stack is started or stopped."""
    secrets = _Below("secrets.json")
    """The gateway's secrets, kept between starts together with its database."""
    logs = _Below("logs")
    """The logs, ``NAME.log`` for each program."""
    programs = _Below("programs")
    """The shell scripts that the supervisor runs, one per program."""
    gateway = _Below("gateway")
    """The gateway's working directory and home."""
    gateway_environment = _Below("gateway.env")
    """The gateway's environment; not in its working directory, because the gateway would read a ``.env`` there."""
    servers = _Below("servers")
    """The simulated servers' working directory, with their SQLite databases."""
    postgres = _Below("postgres")
    """Holds PostgreSQL's data directory."""
    temporary = _Below("tmp")
    """``TMPDIR`` of all programs."""
    supervisor_config = _Below("supervisord.conf")

    @property
    def tokens(self) -> list[Path]:
        """Cached tokens of the gateway's users: they refer to users and teams in its database."""
        return list(self.root.glob("token*"))

    @property
    def is_ours(self) -> bool:
        """Whether this toolkit created the directory for this user; earlier versions left only their secrets in it."""
        marks = (self.root / MARK, self.secrets)
        return is_mine(self.root) and any(is_mine(mark) and not mark.is_symlink() for mark in marks)

    def make(self) -> None:
        """Create the directories, accessible only to the user.

        Raises:
            UserError: one cannot be written, or the stack's directory belongs to another user or contains other files.
        """
        try:
            self.root.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            self._check_owner()
            if not self.is_ours:
                self._check_empty()
            (self.root / MARK).touch(mode=PRIVATE_FILE)
            for directory in (
                self.root,
                self.logs,
                self.programs,
                self.gateway,
                self.servers,
                self.postgres,
                self.temporary,
            ):
                if directory.is_symlink():
                    # Files are removed in this directory.
                    raise UserError(f"{directory}: is a symbolic link, and the stack's must be a directory; remove it")
                directory.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
                directory.chmod(PRIVATE_DIRECTORY)
        except OSError as error:
            raise UserError(
                f"{error.filename or self.root}: the stack's directory cannot be made: {os_reason(error)}"
            ) from error

    def _check_owner(self) -> None:
        owner = self.root.stat().st_uid
        if owner != os.geteuid():
            raise UserError(
                f"{self.root}: belongs to the user with id {owner}: run as that user, or set PERF_STACK_DIR to a "
                "directory of your own"
            )

    def _check_empty(self) -> None:
        # Stacks of gateways measured side by side may exist here, each in its own directory.
        strangers = sorted(path.name for path in self.root.iterdir() if path != self.variants)
        if strangers:
            raise UserError(
                f"{self.root}: is no directory of this toolkit's, {strangers[0]} is in it: nothing was written there; "
                "set PERF_STACK_DIR to a directory that is new or empty"
            )


def variant_places(place: StackPaths) -> list[StackPaths]:
    """Return the stacks that were started for comparisons below this directory and not stopped."""
    return [StackPaths(path.parent) for path in sorted(place.variants.glob("*/stack.json"))]


def default_paths(environ: Mapping[str, str] | None = None) -> StackPaths:
    """Return the stack's directory: ``PERF_STACK_DIR`` of the environment, else ``.stack`` of the checkout."""
    chosen = (os.environ if environ is None else environ).get("PERF_STACK_DIR")
    return StackPaths(Path(chosen).resolve() if chosen else ROOT / ".stack")


def load_state(place: StackPaths) -> StackState | None:
    """Read ``stack.json``, whether or not the stack still runs; ``None`` if it does not exist.

    Raises:
        UserError: it is damaged or of an unknown version.
    """
    if not place.state.exists():
        return None
    return store.load(place.state, StackState, "stack's state")


def read_state(place: StackPaths | None = None) -> StackState | None:
    """Return the running stack if it was ready, else ``None``, also for leftovers of an ended stack.

    Raises:
        UserError: ``stack.json`` is damaged or of an unknown version.
    """
    state = load_state(place or default_paths())
    return state if state is not None and state.ready and state.runtime.is_alive else None
