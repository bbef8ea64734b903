"""The target of a run as the load sees it; joins the rooms ``gateway`` and ``stack``, which do not know each other."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import requests

from benchkit.errors import UserError, os_reason
from benchkit.gateway.access import OwnStack, enter, is_own
from benchkit.gateway.catalogue import load_catalogue, upstreams
from benchkit.gateway.client import Gateway
from benchkit.gateway.counters import DEFAULT_LAG_S, OWN_LAG_S, gateway_counts, settle
from benchkit.gateway.login import Access, Credentials, Mint, Session
from benchkit.gateway.registration import create_fixtures, register, remove_fixtures
from benchkit.gateway.target import describe_target, read_version
from benchkit.load.plan import Server, Target
from benchkit.model import ExecutionCount, RawGatewayCounts
from benchkit.model import Target as TargetDescription
from benchkit.settings import Settings
from benchkit.stack.releases import packages_of, python_of
from benchkit.stack.state import Place, StackState, default_place, read_state
from benchkit.stack.topology import Part, differences, topology_of

_LOOK_TIMEOUT_S = 2.0
_PARALLEL = 8

_ONE_SERVER_ONLY = re.compile(r"0\.|1\.0\.0b1(?!\d)")
"""The releases that cannot hold two servers whose prompts have the same name."""

_NOT_SHOWN = re.compile(r"SECRET|PASSWORD|KEY|TOKEN|EMAIL|URL|PATH|HOME|DIR$|^HOST$|^PORT$")
"""Variables of the gateway that are secret, or that are different on every machine."""


class Connection:
    """The gateway of one run, logged in, with what the toolkit made on it; made by :func:`connect`.

    Attributes:
        target: what the gateway says of itself, for the run's environment.
        routes: its address, prefix, MCP servers and virtual server.
        catalogue: what it offers.
        warnings: what makes the run weaker, in words.
    """

    def __init__(self, settings: Settings, stack: StackState | None, place: Place) -> None:
        own = own_stack(stack, place)
        self._gateway, self._session = enter(settings, own)
        self._made = False
        self.warnings: list[str] = []
        mine = stack if is_own(settings, own) else None
        servers = self._servers(mine)
        # One server is enough: the cases ask the first, and a virtual server takes a hundred tools at the most.
        virtual_server_id = self._make_fixtures([server.name for server in servers if server.counters_url][:1])
        version = read_version(self._gateway)
        self.catalogue = load_catalogue(self._gateway, version.release)
        origin: Literal["local", "external"] = "external" if mine is None else "local"
        self.target = describe_target(self._gateway, version, self.catalogue, origin)
        self.routes = Target(
            base_url=self._gateway.base_url,
            prefix=self._gateway.prefix,
            servers=servers,
            virtual_server_id=virtual_server_id,
            auth_required=self._session.needed,
        )
        if mine is not None:
            self.target = _with_own_knowledge(self.target, mine)
            wanted = topology_of(settings, redis=mine.topology.redis, part=_part(mine))
            self.warnings += [
                f"the running stack is not the one that the settings ask for: {difference} (make restart)"
                for difference in differences(mine.topology, wanted)
            ]

    def token(self, seconds: float) -> str:
        """A token that lasts so many seconds; raises :class:`UserError` when there is no way to one."""
        return self._session.renewed_for(seconds)

    def answers(self) -> bool:
        """Whether the gateway still answers its health check."""
        try:
            return self._gateway.call("GET", "/health", authenticated=False, timeout_s=_LOOK_TIMEOUT_S).ok
        except UserError:
            return False

    def gateway_counts(self) -> dict[str, ExecutionCount] | None:
        """What the gateway's own metrics count so far; ``None`` where it does not tell."""
        try:
            return gateway_counts(self._gateway) or None
        except UserError as error:
            self.warnings.append(f"the gateway's own metrics are not there to be compared with: {error}")
            return None

    def settled_counts(
        self, before: Mapping[str, ExecutionCount], sent: Mapping[str, ExecutionCount], wait_s: float
    ) -> RawGatewayCounts:
        """The gateway's counts after the run, waited for at most ``wait_s`` seconds; see :func:`settle`.

        Raises:
            UserError: the gateway does not answer any more.
        """
        lag_s = DEFAULT_LAG_S if self.target.origin == "external" else OWN_LAG_S
        after, settled = settle(lambda: gateway_counts(self._gateway), before, sent, wait_s=wait_s, lag_s=lag_s)
        return RawGatewayCounts(before=dict(before), after=after, sent=dict(sent), settled=settled)

    def close(self) -> None:
        """Remove what the toolkit made on the gateway. A gateway that is gone is no error: there is nothing left."""
        if self._made:
            self._made = False
            remove_fixtures(self._gateway)

    def _servers(self, mine: StackState | None) -> list[Server]:
        """The MCP servers behind the gateway; those that tell counters are the toolkit's own, wherever they run."""
        registered = [upstream for upstream in upstreams(self._gateway) if upstream.enabled and upstream.reachable]
        if mine is not None:
            present = {upstream.name for upstream in registered}
            return [Server(one.name, one.url, one.counters_url) for one in mine.servers if one.name in present]
        with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
            counters = list(pool.map(lambda upstream: find_counters(upstream.url), registered))
        servers = [Server(one.name, one.url, url) for one, url in zip(registered, counters, strict=True)]
        return sorted(servers, key=lambda server: (not server.counters_url, server.name))

    def _make_fixtures(self, names: list[str]) -> str:
        """The virtual server's id; empty, with a warning, where this user may not make one."""
        self._made = True
        try:
            return create_fixtures(self._gateway, names)
        except UserError as error:
            self.warnings.append(f"some cases are skipped: {error}")
            return ""


def connect(settings: Settings, place: Place | None = None) -> Connection:
    """Log in at ``service.base_url`` and look at what is there; ``place``: where the own stack's files would lie.

    Raises:
        UserError: nobody answers, there is no way to a token, or a listing fails.
    """
    place = place or default_place()
    return Connection(settings, read_state(place), place)


def register_servers(stack: StackState, place: Place) -> list[str]:
    """Register the simulated servers of a running stack with its gateway; answers what there is to say of it.

    A release before 1.0.0b2 cannot hold two servers whose prompts have the same name, so it gets the first server only.

    Raises:
        UserError: a server cannot be registered.
    """
    own = own_stack(stack, place)
    assert own is not None, "a stack that runs can be entered"
    assert stack.gateway is not None, "it was entered"
    gateway = Gateway.find(own.url)
    # Not through the settings: a token of the environment is for another gateway.
    Session(gateway, Access(own.credentials, own.token_cache, mint=own.mint)).start()
    servers = [(server.name, server.url) for server in stack.servers]
    lines = []
    if _ONE_SERVER_ONLY.match(stack.gateway.version) and len(servers) > 1:
        lines.append(
            f"gateway {stack.gateway.version} cannot hold two servers with a prompt of the same name (1.0.0b2 can): "
            f"only {servers[0][0]} is registered"
        )
        servers = servers[:1]
    done = register(gateway, servers)
    return [*lines, f"{len(done.added)} MCP servers registered, {len(done.kept)} were there"]


def own_stack(stack: StackState | None, place: Place | None = None) -> OwnStack | None:
    """How to enter the gateway of the stack that runs at a place (the usual one); ``None`` where none does.

    Raises:
        UserError: the file with the gateway's environment cannot be read.
    """
    if stack is None or stack.gateway is None:
        return None
    place = place or default_place()
    access = stack.gateway
    return OwnStack(
        url=access.url,
        credentials=Credentials(access.email, access.password, source=str(place.state)),
        token_cache=place.root / "token",
        mint=Mint(Path(access.python), _variables(Path(access.env_file))),
    )


def find_counters(mcp_url: str) -> str:
    """The address of a simulated server's counters, beside its ``/mcp``; empty where it is another server."""
    parts = urlsplit(mcp_url)
    url = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/").removesuffix("/mcp") + "/counters", "", ""))
    try:
        with requests.Session() as session:
            session.trust_env = False
            data = session.get(url, timeout=_LOOK_TIMEOUT_S, allow_redirects=False).json()
    except (requests.RequestException, ValueError):
        return ""
    return url if isinstance(data, dict) and "instance" in data and "counts" in data else ""


def _with_own_knowledge(target: TargetDescription, stack: StackState) -> TargetDescription:
    """What the gateway does not tell and its own stack knows: workers, and its settings but the secret ones."""
    access, node = stack.gateway, stack.topology.gateway
    assert access is not None, "its gateway is the target"
    assert node is not None
    variables = _variables(Path(access.env_file))
    return target.model_copy(
        update={
            "release": target.release or access.version,
            "python": python_of(node.installation),
            "packages": packages_of(node.installation),
            "workers": node.workers,
            "settings": {name: value for name, value in sorted(variables.items()) if not _NOT_SHOWN.search(name)},
        }
    )


def _part(stack: StackState) -> Part:
    return "all" if stack.topology.servers else "gateway"


def _variables(path: Path) -> dict[str, str]:
    """The variables of a file of lines like ``export NAME='value'``."""
    try:
        words = shlex.split(path.read_text(encoding="utf-8"), comments=True)
    except OSError as error:
        raise UserError(
            f"{path}: the gateway's environment cannot be read: {os_reason(error)}; make restart"
        ) from error
    pairs = (word.partition("=") for word in words if "=" in word)
    return {name: value for name, _, value in pairs}
