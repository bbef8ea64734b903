"""Render the topology as local processes, with a shell script per program.

A script contains everything that a program is started with, and can be run by hand from any directory. Only the
gateway's environment is secret; it is read from a file of mode 0600, and no secret is in an argument list.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchkit.stack.environment import Secrets, gateway_environment
from benchkit.stack.postgres import SUPERUSER, PostgresInstallation
from benchkit.stack.state import StackPaths
from benchkit.stack.supervisor import Program
from benchkit.stack.topology import GATEWAY_DATABASE, LOOPBACK, GatewayNode, PostgresNode, ServerNode, Topology

GATEWAY = "gateway"
MIGRATION = "gateway-database"
POSTGRES = "postgres"
REDIS = "redis"

PREPARING_DATABASE = "preparing"
"""Name of the gateway's database during its first migration."""

_HEADER = "#!/bin/sh\n# Written by utils/stack.py at each start.\numask 077\n"
# Variables that the supervisor adds to its children's environment must not reach the gateway.
_UNSET = "unset SUPERVISOR_ENABLED SUPERVISOR_SERVER_URL SUPERVISOR_PROCESS_NAME SUPERVISOR_GROUP_NAME\n"


@dataclass(frozen=True)
class Installation:
    """The installed programs. ``redis_server`` and ``postgres`` are ``None`` if they are not needed."""

    python: Path
    server_script: Path
    gateway: Path | None = None
    """The gateway's environment, ``.tools/gateway/VERSION``; ``None`` without a gateway."""
    postgres: PostgresInstallation | None = None
    redis_server: str | None = None

    @property
    def gateway_python(self) -> Path:
        """The Python interpreter of the gateway's environment."""
        assert self.gateway is not None, "a stack without gateway"
        return self.gateway / "bin" / "python"

    @property
    def gateway_build(self) -> str:
        """The set-up's record of the installed build: two builds of a release are two different gateways."""
        assert self.gateway is not None, "a stack without gateway"
        stamp = self.gateway / ".setup-stamp"
        return stamp.read_text(encoding="utf-8") if stamp.exists() else ""


@dataclass(frozen=True)
class Sockets:
    """The directory of the Unix sockets. Their paths are limited to 107 bytes (103 on macOS), so it must be short."""

    root: Path

    @property
    def gateway(self) -> Path:
        """A link to the gateway's environment, whose path may contain ``%``, on which migrations fail."""
        return self.root / "gateway"

    @property
    def supervisor(self) -> str:
        """The supervisor's socket."""
        return str(self.root / "supervisor.sock")

    @property
    def redis(self) -> str:
        """Redis's socket."""
        return str(self.root / "redis.sock")

    @property
    def postgres(self) -> str:
        """The directory of PostgreSQL's socket."""
        return str(self.root / "postgres")


@dataclass(frozen=True)
class Layout:
    """A topology with at most one gateway on this machine: directories, sockets, installed programs and secrets."""

    topology: Topology
    place: StackPaths
    sockets: Sockets
    installation: Installation
    secrets: Secrets

    @property
    def environment(self) -> dict[str, str]:
        """The gateway's variables; empty without a gateway."""
        if self.gateway is None:
            return {}
        return gateway_environment(
            self.gateway,
            self.secrets,
            host=LOOPBACK,
            database_url=gateway_database_url(self.gateway, self.sockets),
            redis_url=redis_url(self.topology, self.sockets),
        )

    @property
    def gateway(self) -> GatewayNode | None:
        """The only gateway of the topology."""
        return next(iter(self.topology.gateways), None)


def render_programs(layout: Layout) -> list[Program]:
    """Return all programs of a topology, services first."""
    topology, place, sockets, installation = layout.topology, layout.place, layout.sockets, layout.installation
    programs = []
    if topology.redis:
        assert installation.redis_server is not None
        programs.append(_redis(installation.redis_server, place, sockets))
    if topology.postgres is not None:
        assert installation.postgres is not None
        programs.append(_postgres(topology.postgres, installation.postgres, place, sockets))
    programs += [_server(server, installation, place, sockets) for server in topology.servers]
    if layout.gateway is not None:
        programs.append(_migration(layout.gateway, place, sockets))
        programs.append(_gateway(layout.gateway, place, sockets))
    return programs


def gateway_database_url(gateway: GatewayNode, sockets: Sockets, *, name: str = GATEWAY_DATABASE) -> str:
    """Return the URL of one of the gateway's databases, relative to the gateway's working directory."""
    # Relative, so that no character of the checkout's path has a special meaning in a URL.
    return _database_url(name, "sqlite" if gateway.database == "sqlite" else "postgresql", sockets)


def redis_url(topology: Topology, sockets: Sockets) -> str | None:
    """Return the cache's URL, if there is a cache."""
    return f"unix://{sockets.redis}" if topology.redis else None


def render_environment(variables: Mapping[str, str]) -> str:
    """Return shell text that exports the variables."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def _redis(redis_server: str, place: StackPaths, sockets: Sockets) -> Program:
    command = [redis_server, "--port", "0", "--unixsocket", sockets.redis, "--unixsocketperm", "700"]
    command += ["--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning"]
    return Program(REDIS, "services", _script(place.temporary, command))


def _postgres(node: PostgresNode, postgres: PostgresInstallation, place: StackPaths, sockets: Sockets) -> Program:
    # It is safe to trust everyone who can reach the socket, because its directory is private to the user.
    initdb = [*postgres.prefix, str(postgres.programs / "initdb"), "--pgdata=data.new", f"--username={SUPERUSER}"]
    initdb += ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"]
    server = [*postgres.prefix, str(postgres.programs / "postgres"), "-D", "data", "-k", sockets.postgres]
    for setting in ("listen_addresses=", "unix_socket_permissions=0700", f"max_connections={node.connections}"):
        server += ["-c", setting]
    before = (
        f"if [ ! -d data ]; then\n  rm -rf data.new\n  {shlex.join(initdb)} || exit\n  mv data.new data || exit\nfi\n"
    )
    # INT is PostgreSQL's fast shutdown; TERM would wait for all clients.
    return Program(POSTGRES, "services", _script(place.postgres, server, before), stop_signal="INT")


def _server(server: ServerNode, installation: Installation, place: StackPaths, sockets: Sockets) -> Program:
    url = _database_url(server.name, server.database, sockets)
    command = [str(installation.python), str(installation.server_script), "--name", server.name]
    command += ["--host", LOOPBACK, "--port", str(server.port), "--database", url]
    command += ["--seed", str(server.seed), "--tools", str(server.tools)]
    return Program(server.name, "clients", _script(place.servers, command), port=server.port)


def _database_url(name: str, kind: str, sockets: Sockets) -> str:
    if kind == "sqlite":
        return f"sqlite:///./{name}.db"
    return f"postgresql+psycopg://{SUPERUSER}@/{name}?host={sockets.postgres}"


def _migration(gateway: GatewayNode, place: StackPaths, sockets: Sockets) -> Program:
    url = gateway_database_url(gateway, sockets, name=PREPARING_DATABASE)
    before = _gateway_surroundings(place) + f"export DATABASE_URL={shlex.quote(url)}\n"
    if gateway.database == "sqlite":
        before += f"rm -f {PREPARING_DATABASE}.db*\n"
    command = [str(sockets.gateway / "bin" / "python"), "-m", "mcpgateway.bootstrap_db"]
    return Program(MIGRATION, "clients", _script(place.gateway, command, before), one_shot=True)


def _gateway(gateway: GatewayNode, place: StackPaths, sockets: Sockets) -> Program:
    # Not python -m mcpgateway: in some releases it accepts no flags.
    command = [str(sockets.gateway / "bin" / "python"), str(sockets.gateway / "bin" / "mcpgateway")]
    command += ["--host", LOOPBACK, "--port", str(gateway.port)]
    if gateway.workers > 1:
        command += ["--workers", str(gateway.workers)]
    return Program(GATEWAY, "clients", _script(place.gateway, command, _gateway_surroundings(place)), port=gateway.port)


def _gateway_surroundings(place: StackPaths) -> str:
    return _UNSET + f". {shlex.quote(str(place.gateway_environment))}\n"


def _script(directory: Path, command: list[str], before: str = "") -> str:
    return f"{_HEADER}cd {shlex.quote(str(directory))} || exit\n{before}exec {shlex.join(command)}\n"
