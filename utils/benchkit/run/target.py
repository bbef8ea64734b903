"""The target of a run as the load sees it; joins the rooms ``gateway`` and ``stack``, which do not know each other."""

from __future__ import annotations

import contextlib
import re
import shlex
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit, urlunsplit

from benchkit import http
from benchkit.disclosure import SHOWN_SETTINGS, address_problem, shown_settings
from benchkit.errors import ForbiddenError, UserError, os_reason
from benchkit.gateway.access import OwnStack, enter, is_own
from benchkit.gateway.catalogue import load_catalogue, upstreams
from benchkit.gateway.client import LIST_KINDS, Gateway
from benchkit.gateway.counters import CountReader, Counts, gateway_counts, lag_of, settle, wait_until_still
from benchkit.gateway.login import Access, Credentials, Mint, Session
from benchkit.gateway.registration import create_fixtures, register, remove_made
from benchkit.gateway.target import describe_target, read_version
from benchkit.load.plan import Catalogue, Server, Target
from benchkit.model import RawGatewayCounts
from benchkit.model import Target as TargetDescription
from benchkit.run import fixtures_record
from benchkit.run.fixtures_record import Fixture
from benchkit.settings import Settings
from benchkit.stack.deployment import Say
from benchkit.stack.releases import packages_of, python_of
from benchkit.stack.state import StackPaths, StackState, default_paths, read_state
from benchkit.stack.topology import Part, differences, topology_of

_LOOK_TIMEOUT_S = 2.0
_LARGEST_COUNTERS = 2**20
_PARALLEL = 8

_UPTIME_MARGIN_S = 2.0
"""So much later than its process was started a gateway may begin to count its age."""

_OLD_LISTINGS = (
    "GET /servers does not list the virtual server that was made just before: its answers come from a cache, of the "
    "gateway or in front of it, so the figures of the listings may be the cache's"
)

# An API token with fewer rights would not measure the same: gateways of 1.x write its last use and a row of their usage
# log for requests that carry one, and look up its revocation.
_SEEN_BY_OTHERS = (
    "the load generator carries the login's token in its command line, where other users of this machine can read it "
    "while a case is measured"
)

_ONE_SERVER_ONLY = re.compile(r"0\.|1\.0\.0b1(?!\d)")
"""The releases that cannot hold two servers whose prompts have the same name."""


class ConnectedTarget(Protocol):
    """A target of one run, ready to be measured. :class:`GatewayTarget` is the one that there is.

    Attributes:
        target: what it says of itself, for the run's environment.
        routes: where requests go.
        warnings: what makes the run weaker, in words.
    """

    target: TargetDescription
    routes: Target
    warnings: list[str]

    @property
    def catalogue(self) -> Catalogue:
        """What it offers; a case finds its tool, resource or prompt there."""

    def token(self, seconds: float) -> str:
        """A token that lasts so many seconds, empty where none is needed; UserError when there is no way to one."""

    def answers(self) -> bool:
        """Whether it still answers at all."""

    def gateway_counts(self) -> Counts:
        """What its own metrics count so far, by kind; empty where it does not count."""

    def still_counts(self, first: Counts, wait_s: float, tell: Callable[[str], None]) -> RawGatewayCounts | None:
        """The counts that the run begins with; ``None`` where it does not count."""

    def watch_counts(self) -> None:
        """Look at the counts while no load runs."""

    def settled_counts(
        self, opened: RawGatewayCounts, sent: Counts, wait_s: float, tell: Callable[[str], None]
    ) -> RawGatewayCounts:
        """The counts after the run that began with ``opened``; UserError where it does not answer any more."""

    def close(self) -> None:
        """Remove what the toolkit made on it."""


class GatewayTarget:
    """The gateway of one run, logged in, with what the toolkit made on it; made by :func:`connect`.

    Attributes:
        target: what the gateway says of itself, for the run's environment.
        routes: its address, prefix, MCP servers and virtual server.
        catalogue: what it offers.
        warnings: what makes the run weaker, in words.
    """

    def __init__(
        self, settings: Settings, stack: StackState | None, place: StackPaths, record_dir: Path | None = None
    ) -> None:
        own = own_stack(stack, place)
        self._gateway, self._session = enter(settings, own)
        self._fixtures: list[Fixture] = []
        self.warnings: list[str] = []
        self._reader = CountReader(lambda: gateway_counts(self._gateway))
        mine = stack if is_own(settings, own) else None
        self._record_dir = record_dir if mine is None else None  # the own stack goes with the run
        if mine is None:
            self._remove_orphans(settings.results_dir)
        servers = self._servers(mine)
        # One server is enough: the cases ask the first, and a virtual server takes a hundred tools at the most.
        virtual_server_id = self._make_fixtures([server.name for server in servers if server.counters_url][:1])
        version = read_version(self._gateway)
        self._since = time.monotonic()
        self._lag_s = lag_of(own.mint.environment if own is not None and mine is not None else {})
        self.catalogue = load_catalogue(self._gateway, version.release)
        self.warnings += [
            f"{kind} cannot be listed: {refused}" for kind in LIST_KINDS if (refused := self.catalogue.refused(kind))
        ]
        is_listed = not virtual_server_id or virtual_server_id in self.catalogue.server_ids
        if not is_listed and not self.catalogue.refused("servers"):
            self.warnings.append(_OLD_LISTINGS)
        if self._session.needed:
            self.warnings.append(_SEEN_BY_OTHERS)
        origin: Literal["local", "external"] = "external" if mine is None else "local"
        self.target = describe_target(self._gateway, version, self.catalogue, origin)
        self.routes = Target(
            base_url=self._gateway.base_url,
            prefix=self._gateway.prefix,
            servers=servers,
            rpc_url=self._gateway.rpc_url,
            mcp_url=self._mcp_url(virtual_server_id),
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

    def gateway_counts(self) -> Counts:
        """What the gateway's own metrics count so far; empty, with a warning, where it does not tell."""
        try:
            return self._reader.read()
        except UserError as error:
            self.warnings.append(f"the gateway's own metrics are not there to be compared with: {error}")
            return {}

    def still_counts(self, first: Counts, wait_s: float, tell: Callable[[str], None]) -> RawGatewayCounts | None:
        """The counts that a run begins with, a moment after their ``first`` reading; see :func:`wait_until_still`.

        ``None`` where the gateway does not tell them.
        """
        if not first:
            return None
        try:
            before, still = wait_until_still(self._reader, first, wait_s=wait_s, lag_s=self._lag_s, tell=tell)
        except UserError as error:
            self.warnings.append(f"the gateway's own metrics are not there any more to be compared with: {error}")
            return None
        doubt = "" if still else "its counts moved already before the load began"
        return RawGatewayCounts(before=dict(before), after={}, sent={}, settled=False, doubt=doubt)

    def watch_counts(self) -> None:
        """Look at the counts while no load runs, to notice where they fall. A gateway that is gone is no error here."""
        with contextlib.suppress(UserError):
            self._reader.read()

    def settled_counts(
        self, opened: RawGatewayCounts, sent: Counts, wait_s: float, tell: Callable[[str], None]
    ) -> RawGatewayCounts:
        """The gateway's counts after the run that began with ``opened``, waited for; see :func:`settle`.

        Raises:
            UserError: the gateway does not answer any more.
        """
        after, settled = settle(self._reader, opened.before, sent, wait_s=wait_s, lag_s=self._lag_s, tell=tell)
        fell = " and ".join(sorted(self._reader.fell))
        doubts = [
            opened.doubt,
            f"its counts of {fell} fell meanwhile (they were reset, or several replicas answer in turn)"
            if fell
            else "",
            "it was started anew during the run" if self._was_restarted() else "",
        ]
        changes = {"after": dict(after), "sent": dict(sent), "settled": settled}
        return opened.model_copy(update=changes | {"doubt": "; ".join(filter(None, doubts))})

    def _was_restarted(self) -> bool:
        uptime_s = read_version(self._gateway).uptime_s
        return uptime_s is not None and 0 <= uptime_s < time.monotonic() - self._since - _UPTIME_MARGIN_S

    def close(self) -> None:
        """Remove what the toolkit made on the gateway. A gateway that is gone is no error: there is nothing left."""
        made, self._fixtures = self._fixtures, []
        if made:
            remove_made(self._gateway, [(one.name, one.path) for one in made])
            if self._record_dir is not None:
                fixtures_record.forget(self._record_dir)

    def _servers(self, mine: StackState | None) -> list[Server]:
        """The MCP servers behind the gateway; those that tell counters are the toolkit's own, wherever they run."""
        try:
            listed = upstreams(self._gateway)
        except ForbiddenError:
            listed = []  # the catalogue tells the same, in words
        registered = [upstream for upstream in listed if upstream.enabled and upstream.reachable]
        if mine is not None:
            present = {upstream.name for upstream in registered}
            return [Server(one.name, one.url, one.counters_url) for one in mine.servers if one.name in present]
        # Such an address would be stored with the run and stand in the command line of the load generator.
        unfit = [upstream.name for upstream in registered if address_problem(upstream.url)]
        if unfit:
            self.warnings.append(
                f"MCP servers are not measured directly, for their addresses hold a user, a query or no HTTP address: "
                f"{', '.join(unfit)}"
            )
        registered = [upstream for upstream in registered if upstream.name not in unfit]
        with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
            counters = list(pool.map(lambda upstream: find_counters(upstream.url), registered))
        servers = [Server(one.name, one.url, url) for one, url in zip(registered, counters, strict=True)]
        return sorted(servers, key=lambda server: (not server.counters_url, server.name))

    def _make_fixtures(self, names: list[str]) -> str:
        """The virtual server's id; empty, with a warning, where this user may not make one."""
        try:
            return create_fixtures(self._gateway, names, warn=self.warnings.append, note=self._note_fixture)
        except UserError as error:
            reason = error.lacks if isinstance(error, ForbiddenError) else error
            self.warnings.append(f"cases that need a virtual server are skipped: {reason}")
            return ""

    def _mcp_url(self, virtual_server_id: str) -> str:
        try:
            return self._gateway.mcp_url(virtual_server_id) if virtual_server_id else ""
        except ValueError as error:
            self.warnings.append(f"cases that need a virtual server are skipped: {error}")
            return ""

    def _note_fixture(self, name: str, path: str) -> None:
        """Something was made: should this run be killed, the next command knows of it."""
        self._fixtures.append(Fixture(name=name, path=path))
        if self._record_dir is not None:
            fixtures_record.save(self._record_dir, self._gateway.base_url, self._fixtures)

    def _remove_orphans(self, results: Path) -> None:
        """Remove from this gateway what runs that were killed made on it."""
        for orphan in fixtures_record.orphans(results, self._gateway.base_url):
            with contextlib.suppress(UserError):
                remove_made(self._gateway, [(one.name, one.path) for one in orphan.record.made])
                fixtures_record.forget(orphan.directory)


def connect(settings: Settings, place: StackPaths | None = None, record_dir: Path | None = None) -> GatewayTarget:
    """Log in at ``service.base_url`` and look at what is there.

    Args:
        settings: with the gateway's address and the ways to a token.
        place: where the own stack's files would lie; the usual place where absent.
        record_dir: the run's directory, or that of a variant of it, which keeps what is made on a gateway of others.

    Raises:
        UserError: nobody answers, there is no way to a token, or a listing fails.
    """
    place = place or default_paths()
    return GatewayTarget(settings, read_state(place), place, record_dir)


def register_servers(stack: StackState, place: StackPaths, *, say: Say, progress: Say = lambda _line: None) -> None:
    """Register the simulated servers of a running stack with its gateway.

    A release before 1.0.0b2 cannot hold two servers whose prompts have the same name, so it gets the first server only.
    ``say`` takes that line, and ``progress`` the number of servers that were registered.

    Raises:
        UserError: a server cannot be registered.
    """
    own = own_stack(stack, place)
    assert own is not None, "a stack that runs can be entered"
    gateway = Gateway.find(own.url)
    # Not through the settings: a token of the environment is for another gateway.
    Session(gateway, Access(own.credentials, own.token_cache, mint=own.mint)).start()
    servers = [(server.name, server.url) for server in stack.servers]
    release = stack.gateways[0].version
    if _ONE_SERVER_ONLY.match(release) and len(servers) > 1:
        say(
            f"gateway {release} cannot hold two servers with a prompt of the same name (1.0.0b2 can): "
            f"only {servers[0][0]} is registered"
        )
        servers = servers[:1]
    done = register(gateway, servers)
    progress(f"{len(done.added)} MCP servers registered, {len(done.kept)} were there")


def own_stack(stack: StackState | None, place: StackPaths | None = None) -> OwnStack | None:
    """How to enter the gateway of the stack that runs at a place (the usual one); ``None`` where none does.

    Raises:
        UserError: the file with the gateway's environment cannot be read.
    """
    access = stack.target if stack is not None else None
    if access is None:
        return None
    place = place or default_paths()
    return OwnStack(
        url=access.url,
        credentials=Credentials(access.email, access.password, source=str(place.state)),
        token_cache=place.root / "token",
        mint=Mint(Path(access.python), _variables(Path(access.env_file))),
    )


def find_counters(mcp_url: str) -> str:
    """The address of a simulated server's counters, beside its ``/mcp``; empty where it is another server."""
    try:
        parts = urlsplit(mcp_url)
    except ValueError:
        return ""
    url = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/").removesuffix("/mcp") + "/counters", "", ""))
    try:
        with http.Session() as session:
            data = session.send("GET", url, timeout_s=_LOOK_TIMEOUT_S, most_bytes=_LARGEST_COUNTERS).json()
    except http.AnswerError:
        return ""
    return url if isinstance(data, dict) and "instance" in data and "counts" in data else ""


def _with_own_knowledge(target: TargetDescription, stack: StackState) -> TargetDescription:
    """What the gateway does not tell and its own stack knows: workers, and its settings.

    Values are shown by the allow-list; of other settings, only the names of those that the user gave.
    """
    access, node = stack.gateways[0], stack.topology.gateways[0]  # all gateways of a stack are of one release
    variables = _variables(Path(access.env_file))
    named = {name: variables[name] for name in variables if name in SHOWN_SETTINGS or name in node.settings}
    return target.model_copy(
        update={
            "release": target.release or access.version,
            "python": python_of(node.installation),
            "packages": packages_of(node.installation),
            "workers": sum(one.workers for one in stack.topology.gateways),
            "settings": shown_settings(named),
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
