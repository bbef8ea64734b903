"""Choose the processes to sample during a run; joins ``stack`` and ``monitor``, which do not import each other."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from benchkit.gateway.registration import same_url
from benchkit.load.engines import ENGINES
from benchkit.model import MonitoredComponent
from benchkit.monitor.database import postgres_connections
from benchkit.monitor.feed import first_line
from benchkit.monitor.processes import listener
from benchkit.monitor.sampler import INTERVAL_S, Finder, Found
from benchkit.run.variants import Variants
from benchkit.settings import ROOT, Settings
from benchkit.stack.lifecycle import deployment
from benchkit.stack.postgres import SUPERUSER
from benchkit.stack.programs import Sockets
from benchkit.stack.state import StackPaths, StackState, default_paths, read_state

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PORTS = {"http": 80, "https": 443}
_DOCKER_PROXY = "docker-proxy"
_LOAD_SCRIPTS = {engine.script for engine in ENGINES.values()}
"""The toolkit's own programs that generate load."""


def finders(settings: Settings, variants: Variants | None) -> list[Finder]:
    """Return the finders that locate the components of a run's gateway, or of each of several (``variants``)."""
    if variants is None:
        return [partial(_target, settings.config.service.base_url, default_paths())]
    found: list[Finder] = [
        partial(_foreign, variant.url, variant.label)
        if variant.kind == "running"
        else partial(_at_place, StackPaths(Path(variant.place)), variant.label)
        for variant in variants.variants
    ]
    return [*found, partial(_at_place, StackPaths(Path(variants.servers_place)), "")] if variants.own else found


def is_load(shell: psutil.Process, process: psutil.Process) -> bool | None:
    """Return whether a child of the run's shell generates load. All its children do, except the toolkit's own programs.

    ``None`` while the child is still a fork of the shell that has not yet called exec.
    """
    try:
        words = process.cmdline()
        if not words or words == shell.cmdline():
            return None
    except psutil.Error:
        return None
    # Only the first words: the load generator's arguments follow, and the token is among them.
    programs = [Path(word) for word in words[:3]]
    own = any(path.parent == ROOT / "utils" and path not in _LOAD_SCRIPTS for path in programs)
    return not own


def _target(url: str, place: StackPaths) -> Found:
    """Find the gateway of a run: the local stack's, or an external one."""
    state = read_state(place)
    if state is not None and state.target is not None and same_url(state.target.url, url):
        return _of_stack(place, state, "")
    return _foreign(url, "")


def _at_place(place: StackPaths, variant: str) -> Found:
    """Find the running components of a stack; none if the stack is about to be restarted."""
    state = read_state(place)
    return _of_stack(place, state, variant) if state is not None else Found()


def _of_stack(place: StackPaths, state: StackState, variant: str) -> Found:
    found = Found()
    for status in deployment(place).statuses(state):
        if status.runs:
            component = MonitoredComponent(name=status.name, kind=status.kind, source="process", variant=variant)
            try:
                found.processes[component] = psutil.Process(status.pid)
            except psutil.Error:
                continue  # it has just ended
            if status.kind == "database":
                socket_dir = Sockets(Path(state.runtime.directory)).postgres
                read = partial(postgres_connections, socket_dir, SUPERUSER, INTERVAL_S)
                found.connections[component] = (socket_dir, read)
    if any(gateway.database == "sqlite" for gateway in state.topology.gateways):
        found.notes.append(
            "the gateway's database is SQLite: its work is part of the gateway's, and it has no connections to count"
        )
    return found


def _foreign(url: str, variant: str) -> Found:
    """Find what is visible from here of a gateway that the toolkit did not start."""
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme, 0)
    if parts.hostname not in _LOOPBACK:
        return Found(
            notes=[f"{parts.hostname}: the gateway is on another machine: it and what it needs are not sampled"]
        )
    found, problem = _in_docker(port, variant)
    if found is not None:
        return found
    process = listener(port)
    if process is None or _name(process) == _DOCKER_PROXY:
        reason = "a container's" if process is not None else "not to be seen (another user's process, or none)"
        return Found(notes=[f"port {port}: its listener is {reason}, so the gateway is not sampled; {problem}"])
    return Found(
        processes={MonitoredComponent(name="gateway", kind="gateway", source="process", variant=variant): process},
        notes=["the gateway was not started by the toolkit: its database, cache and servers are not known"],
    )


def _in_docker(port: int, variant: str) -> tuple[Found | None, str]:
    """Find the containers of the gateway at a port; ``None`` and the reason if it does not run in one."""
    # pylint: disable=import-outside-toplevel  # takes a noticeable time, and only external gateways need it
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    from benchkit.monitor import containers

    try:
        client = containers.engine()
        listed = containers.containers_at(client, port)
    except (DockerException, RequestException, OSError) as error:
        return None, f"there is no Docker engine to ask ({first_line(error)})"
    if not listed:
        return None, "no container publishes it"
    found = Found()
    for one in listed:
        component = MonitoredComponent(name=one.name, kind=one.kind, source="container", variant=variant)
        found.containers[component] = (one.id, partial(containers.usages, client, one.id))
        if one.kind == "database":
            found.notes.append(f"{component.id}: a database in a container is not asked for its connections")
    return found, ""


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return ""
