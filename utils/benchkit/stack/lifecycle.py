"""Start and stop the stack of a directory, one caller at a time, and provide a gateway for a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchkit import store
from benchkit.errors import UserError
from benchkit.lock import locked_file
from benchkit.model import Model
from benchkit.settings import Settings
from benchkit.stack import processes
from benchkit.stack.deployment import Deployment, Say, StartCallbacks
from benchkit.stack.local import LocalProcesses
from benchkit.stack.readiness import gateway_problem
from benchkit.stack.state import (
    ProcessRuntime,
    ServerAccess,
    StackPaths,
    StackState,
    load_state,
    read_state,
    variant_places,
)
from benchkit.stack.topology import Part, ServerNode, Topology, differences, topology_of

_LOCK_S = 120.0
_OTHER = "another start or stop of the stack"


@dataclass(frozen=True)
class Outcome:
    """A stack that is ready. ``started``: whether this call started it."""

    state: StackState
    started: bool


class StackOwner(Model):
    """The file that identifies the stack that a run started, so that the run stops no other one."""

    schema_version: Literal[2] = 2
    runtime: ProcessRuntime


def deployment(place: StackPaths) -> Deployment:
    """Return the deployment of a directory's stack; local processes are the only one so far."""
    return LocalProcesses(place)


def up(
    settings: Settings,
    place: StackPaths,
    caller: StartCallbacks,
    *,
    part: Part = "all",
    shared_servers: Sequence[ServerAccess] = (),
) -> Outcome:
    """Start the configured stack, unless it runs already, and wait until it is ready.

    Args:
        settings: define the stack.
        place: its directory.
        caller: callbacks of the start.
        part: start the gateway without servers, or servers without a gateway.
        shared_servers: servers of another stack, for a gateway without servers of its own.

    Raises:
        UserError: another stack runs, a port is taken, something is not installed or was not ready in time, or a signal
            arrived. Everything that this call started is stopped again.
    """
    form = deployment(place)
    topology = topology_of(settings, redis=form.has_redis, part=part)
    place.make()
    with locked_file(place.lock, _OTHER, timeout_s=_LOCK_S, say=caller.progress, check=caller.interrupt.check):
        state = load_state(place)
        if state is not None and state.ready and state.runtime.is_alive and not state.is_orphan:
            _check_running(form, state, topology)
            return Outcome(state, started=False)
        if state is not None:
            caller.say(f"{_what_was_left(state)}: removing what it left")
            form.stop(state)
        _check_ports(topology, part, caller.say)
        timeout_s = settings.config.service.health_check_timeout
        started = form.start(topology, caller, timeout_s=timeout_s, shared_servers=shared_servers)
        return Outcome(started, started=True)


def down(place: StackPaths, caller: StartCallbacks, *, only: ProcessRuntime | None = None) -> bool:
    """Stop the stack and remove leftovers of an earlier one. Return whether there was anything to stop.

    Args:
        place: the stack's directory.
        caller: callbacks of the stop.
        only: stop the stack only if this is its supervisor.

    Raises:
        UserError: a program could not be stopped, or ``stack.json`` is damaged.
    """
    if not place.root.exists():
        return False
    with locked_file(place.lock, _OTHER, timeout_s=_LOCK_S, say=caller.progress, check=caller.interrupt.check):
        state = load_state(place)
        if state is None or (only is not None and state.runtime != only):
            return False
        deployment(place).stop(state)
        return True


def down_orphans(places: Sequence[StackPaths], caller: StartCallbacks) -> None:
    """Stop those of the stacks whose runs were killed; raises as :func:`down`."""
    for place in places:
        state = load_state(place)
        if state is not None and state.is_orphan:
            caller.say(f"{place.root}: {_what_was_left(state)}: stopping it")
            down(place, caller, only=state.runtime)


def write_owner(path: Path, state: StackState) -> None:
    """Store the supervisor of the stack that a run started; raises as :func:`benchkit.store.save`."""
    store.save(path, StackOwner(runtime=state.runtime))


def read_owner(path: Path) -> ProcessRuntime | None:
    """Read the supervisor of a run's stack from the run's file; ``None`` if the run started no stack."""
    return store.load(path, StackOwner, "stack's owner").runtime if path.exists() else None


def ensure(settings: Settings, place: StackPaths, caller: StartCallbacks) -> Outcome | None:
    """Make sure that a gateway answers at ``service.base_url``; start the own stack if ``service.mode`` allows it.

    ``None`` if a gateway already answered there, which is used unchanged.

    Raises:
        UserError: there is none and none may be started, or it could not be started.
    """
    service = settings.config.service
    # The stack of a killed run would use this run's ports and CPU time, or would be measured although it is not fresh.
    down_orphans([place, *variant_places(place)], caller)
    if service.mode == "local":
        return up(settings, place, caller)
    problem = gateway_problem(service.base_url)
    if service.mode == "external":
        if problem is not None:
            raise UserError(f"no gateway answers at {service.base_url}: {problem}; start it, or set GATEWAY_URL")
        return None
    state = load_state(place)
    # The answer may come from programs that lost their supervisor.
    if problem is not None or (state is not None and not state.runtime.is_alive):
        return up(settings, place, caller)
    _mention_own(settings, place, caller)
    return None


def _mention_own(settings: Settings, place: StackPaths, caller: StartCallbacks) -> None:
    """Tell the user if the own stack that answers differs from the configured one."""
    state = read_state(place)
    if state is None or state.target is None or state.target.url != settings.config.service.base_url:
        return
    different = differences(state.topology, topology_of(settings, redis=state.topology.redis))
    if different:
        caller.say(f"the stack that runs is used as it is, though: {'; '.join(different)} (make down for a new one)")


def _what_was_left(state: StackState) -> str:
    if state.owner is not None and state.is_orphan:
        return f"this stack was started by a run that was killed (pid {state.owner.pid})"
    return "an earlier stack did not end properly"


def _check_running(form: Deployment, state: StackState, wanted: Topology) -> None:
    different = differences(state.topology, wanted)
    if different:
        raise UserError(f"another stack is up: {'; '.join(different)}: run make down first")
    ended = [status.name for status in form.statuses(state) if not status.runs]
    if ended:
        raise UserError(f"the stack is up, but {', '.join(ended)} ended (make logs): run make down first")


def _check_ports(topology: Topology, part: Part, say: Say) -> None:
    problems = []
    for node in topology.listeners:
        is_server = isinstance(node, ServerNode)
        if part == "all":
            remedy = "PERF_FIRST_SERVER_PORT=PORT" if is_server else "GATEWAY_URL=http://127.0.0.1:PORT"
        else:
            remedy = f"paired.first_{'server_' if is_server else ''}port of config.yaml"
        owner = processes.port_owner(node.port)
        if owner is not None:
            problems.append(
                f"port {node.port} (for {node.name}) is taken by {owner}: stop that, or choose another with {remedy}"
            )
    if len(problems) == 1:
        raise UserError(f"{problems[0]}; nothing was started")
    if problems:
        for problem in problems:
            say(f"error: {problem}")
        raise UserError(f"{len(problems)} ports are taken; nothing was started")
