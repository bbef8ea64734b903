"""A gateway for a run: the one that answers, or the own stack, as ``service.mode`` allows."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from benchkit import store
from benchkit.errors import UserError
from benchkit.model import Model
from benchkit.settings import Settings
from benchkit.stack.local import Outcome, down_orphans, up
from benchkit.stack.readiness import gateway_problem
from benchkit.stack.start import StartCallbacks
from benchkit.stack.state import (
    StackPaths,
    StackState,
    SupervisorProcess,
    is_running,
    load_state,
    read_state,
    variant_places,
)
from benchkit.stack.topology import differences, topology_of


class StackOwner(Model):
    """The file that says which stack a run started, so that the run stops this one and no other."""

    schema_version: Literal[1] = 1
    supervisor: SupervisorProcess


class Ensured(Model):
    """What ``ensure`` prints: the gateway's address, and whether this call started it."""

    started: bool
    url: str


def write_owner(path: Path, state: StackState) -> None:
    """Note whose stack this is; see :func:`benchkit.store.save` for what is raised."""
    store.save(path, StackOwner(supervisor=state.supervisor))


def read_owner(path: Path) -> SupervisorProcess | None:
    """The supervisor that a run's file names; ``None`` when there is no file: the run started nothing."""
    return store.load(path, StackOwner, "stack's owner").supervisor if path.exists() else None


def ensure(settings: Settings, place: StackPaths, caller: StartCallbacks) -> Outcome | None:
    """A gateway at ``service.base_url``; ``None`` when a foreign one (or one that is used as it is) answers there.

    Raises:
        UserError: there is none and none may be started, or it could not be started.
    """
    service = settings.config.service
    # What a killed run left would take this run's ports, its share of the machine, or its place: an aged gateway.
    down_orphans([place, *variant_places(place)], caller)
    if service.mode == "local":
        return up(settings, place, caller)
    problem = gateway_problem(service.base_url)
    if service.mode == "external":
        if problem is not None:
            raise UserError(f"no gateway answers at {service.base_url}: {problem}; start it, or set GATEWAY_URL")
        return None
    state = load_state(place)
    if state is not None and not is_running(state):
        # Programs without their supervisor may be what answers.
        return up(settings, place, caller)
    if problem is not None:
        return up(settings, place, caller)
    _mention_own(settings, place, caller)
    return None


def _mention_own(settings: Settings, place: StackPaths, caller: StartCallbacks) -> None:
    """Who asked for another stack than the one that answers, and is used as it is, should know."""
    state = read_state(place)
    if state is None or state.gateway is None or state.gateway.url != settings.config.service.base_url:
        return
    different = differences(state.topology, topology_of(settings, redis=state.topology.redis))
    if different:
        caller.say(f"the stack that runs is used as it is, though: {'; '.join(different)} (make down for a new one)")
