"""The parts of a stack, independent of the deployment: a topology can become local processes or containers."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import model_validator

from benchkit.errors import UserError
from benchkit.model import Model
from benchkit.settings import Settings
from benchkit.stack.releases import built_version, installation_name

Database = Literal["sqlite", "postgresql"]

Part = Literal["all", "gateway", "servers"]
"""The part of the stack that is meant. Gateways that are measured side by side share one set of servers: the servers
are a stack of their own, and so is each gateway."""

LOOPBACK = "127.0.0.1"
"""The only address on which the stack listens."""

_LOOPBACK_NAMES = (LOOPBACK, "localhost")

# A gateway worker may open DB_POOL_SIZE + DB_MAX_OVERFLOW connections (200 + 10 by default), a simulated server 4, and
# PostgreSQL reserves 3 for the superuser; the rest is for monitoring.
_CONNECTIONS_PER_WORKER = 210
_CONNECTIONS_PER_SERVER = 5
_CONNECTIONS_SPARE = 20


class _Node(Model):
    """A part of the stack. ``cpus`` (cores) and ``memory_mib`` are limits; ``None``: no limit."""

    cpus: float | None = None
    memory_mib: int | None = None


class GatewayNode(_Node):
    """A gateway under test. ``settings`` are environment variables that override those of the toolkit.

    ``installation`` is the name of its environment below ``.tools/gateway``: the release, or that of a custom build
    (``stack.gateway.source``).
    """

    name: str = "gateway"
    version: str
    installation: str
    port: int
    workers: int
    database: Database
    settings: dict[str, str]


class BalancerNode(_Node):
    """Distributes the load over several gateways; its port is then the address under test."""

    name: str = "balancer"
    port: int


class ServerNode(_Node):
    """A simulated MCP server. It lists ``tools`` additional tools; ``seed`` determines its generated content."""

    name: str
    port: int
    database: Database
    seed: int
    tools: int


class PostgresNode(_Node):
    """The PostgreSQL server, with the names of its databases and its maximum number of connections."""

    databases: list[str]
    connections: int


class Topology(Model):
    """The whole stack. ``postgres`` is ``None`` if it is not needed; ``redis``: whether there is a cache.

    There is no gateway if only servers are started, and a balancer only with several gateways.
    """

    gateways: list[GatewayNode]
    balancer: BalancerNode | None = None
    servers: list[ServerNode]
    postgres: PostgresNode | None = None
    redis: bool

    @property
    def listeners(self) -> list[GatewayNode | BalancerNode | ServerNode]:
        """The nodes with a port of their own."""
        return [*([self.balancer] if self.balancer else []), *self.gateways, *self.servers]

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        ports = [node.port for node in self.listeners]
        if len(set(ports)) < len(ports):
            raise ValueError("two nodes have the same port")
        if (len(self.gateways) > 1) != (self.balancer is not None):
            raise ValueError("several gateways need a balancer, and a single one needs none")
        return self


GATEWAY_DATABASE = "gateway"
"""Name of the gateway's database; the database of a simulated server has the server's name."""


def topology_of(settings: Settings, *, redis: bool, part: Part = "all") -> Topology:
    """Return the configured topology, or a part of it; ``redis``: whether a Redis server is available.

    Raises:
        UserError: the stack cannot listen at ``service.base_url``, or two programs would have the same port.
    """
    stack = settings.config.stack
    if part == "gateway":
        gateway = _gateway(settings)
        return Topology(gateways=[gateway], servers=[], postgres=_postgres([gateway], []), redis=redis)
    servers = [
        ServerNode(
            name=f"time{number}",
            port=stack.first_server_port + number - 1,
            database="sqlite" if number % 2 else "postgresql",
            seed=stack.seed,
            tools=stack.server_tools,
        )
        for number in range(1, stack.servers + 1)
    ]
    if part == "servers":
        return Topology(gateways=[], servers=servers, postgres=_postgres([], servers), redis=False)
    gateway = _gateway(settings)
    for server in servers:
        if server.port == gateway.port:
            raise UserError(
                f"{_source(settings, 'stack.first_server_port')}: {server.name} would have port {server.port}, the "
                f"gateway's ({_source(settings, 'service.base_url')}): choose another stack.first_server_port"
            )
    return Topology(gateways=[gateway], servers=servers, postgres=_postgres([gateway], servers), redis=redis)


def differences(running: Topology, wanted: Topology) -> list[str]:
    """Return the differences as sentences; empty if the running stack is the wanted one."""
    found: list[str] = []
    if len(running.gateways) != len(wanted.gateways):
        found.append(f"gateways are {len(running.gateways)}, wanted {len(wanted.gateways)}")
    else:
        for now, then in zip(running.gateways, wanted.gateways, strict=True):
            found += _gateway_differences(now, then)
    if len(running.servers) != len(wanted.servers):
        found.append(f"simulated servers are {len(running.servers)}, wanted {len(wanted.servers)}")
    elif running.servers != wanted.servers:
        found.append("simulated servers differ in port, seed or number of tools")
    if running.redis != wanted.redis:
        found.append("Redis runs, but redis-server is gone" if running.redis else "Redis does not run, wanted")
    return found


def _gateway_differences(running: GatewayNode, wanted: GatewayNode) -> list[str]:
    found: list[str] = []
    for name in ("version", "installation", "port", "workers", "database"):
        now, then = getattr(running, name), getattr(wanted, name)
        if now != then and not (name == "installation" and found):
            found.append(f"gateway {name} is {now}, wanted {then}")
    if running.settings != wanted.settings:
        names = sorted(set(running.settings.items()) ^ set(wanted.settings.items()))
        found.append(f"gateway settings differ in {', '.join(dict(names))}")
    return found


def _gateway(settings: Settings) -> GatewayNode:
    stack = settings.config.stack
    name = installation_name(stack.gateway)
    return GatewayNode(
        version=built_version(name) if stack.gateway.source else name,
        installation=name,
        port=_gateway_port(settings),
        workers=stack.gateway.workers,
        database=stack.database,
        settings={name: text_of(value) for name, value in sorted(stack.gateway.settings.items())},
    )


def _gateway_port(settings: Settings) -> int:
    url = settings.config.service.base_url
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme != "http" or parts.hostname not in _LOOPBACK_NAMES or parts.path or port is None:
        raise UserError(
            f"{_source(settings, 'service.base_url')}: the own stack cannot listen at {url}: set an address like "
            "http://127.0.0.1:4444, or GATEWAY=external for a gateway that runs elsewhere"
        )
    return port


def _postgres(gateways: list[GatewayNode], servers: list[ServerNode]) -> PostgresNode | None:
    databases = [server.name for server in servers if server.database == "postgresql"]
    connections = _CONNECTIONS_SPARE + _CONNECTIONS_PER_SERVER * len(databases)
    workers = sum(gateway.workers for gateway in gateways if gateway.database == "postgresql")
    if workers:
        databases = [GATEWAY_DATABASE, *databases]
        connections += _CONNECTIONS_PER_WORKER * workers
    return PostgresNode(databases=databases, connections=connections) if databases else None


def address_of(port: int, path: str = "") -> str:
    """Return the URL of a port of the stack."""
    return f"http://{LOOPBACK}:{port}{path}"


def text_of(value: str | float | bool) -> str:
    """Return the text of an environment variable for a value of ``config.yaml``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _source(settings: Settings, key: str) -> str:
    return settings.sources.get(key, "config.yaml") + f": {key}"
