"""A profiled run under way: one case, in rounds with and without the sampler, in turns."""

from __future__ import annotations

import argparse

from benchkit.errors import UserError
from benchkit.load.driver import WARM_UP, Step
from benchkit.model import PlannedCase
from benchkit.profiling.recorder import Recorder, find_sampler, python_processes, try_sampler
from benchkit.profiling.rounds import recording_name
from benchkit.run.session import Session, say
from benchkit.settings import Settings, from_arguments
from benchkit.stack.programs import GATEWAY
from benchkit.stack.state import default_paths, read_state
from benchkit.stack.supervisor import Supervisor

_PLAIN_SAMPLED = (False, True, True, False)
"""Over the rounds: whether the sampler runs. A drift over the run then hits both alike."""


class CpuProfileSession(Session):
    """Answers the shell as :class:`benchkit.run.session.Session` does, and samples the gateway in every other round."""

    kind = "profile"

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        self._recorder: Recorder | None = None
        self._gateway_pid = 0

    def open(self) -> list[str]:
        """Check everything that can be checked before anything is started."""
        find_sampler()
        check_case(from_arguments(self._arguments), self._arguments.sample)
        self._arguments.scenarios = self._arguments.sample.partition("/")[0]
        settings = from_arguments(self._arguments)
        if settings.config.service.mode == "external":
            raise UserError("GATEWAY=external (service.mode): only the local stack's gateway can be sampled")
        answer = super().open()
        self._settings = profile_settings(settings)
        return answer

    def plan(self) -> list[str]:
        """Find the gateway's process and take a first sample; then as for every run."""
        settings = self._settings
        assert settings is not None, "plan before open"
        program = find_sampler()
        self._gateway_pid = gateway_pid(settings.config.service.base_url)
        wanted = not self._arguments.python_only
        native = try_sampler(program, self._gateway_pid, native=wanted)
        if wanted and not native:
            say("warning: py-spy cannot see compiled code here: garbage collection will not show")
        self._recorder = Recorder(program, rate=settings.config.profiling.rate, native=native)
        return super().plan()

    def restore(self) -> None:
        """What was sampled so far is written; then as for every run."""
        if self._recorder is not None:
            self._recorder.stop()
        super().restore()

    def _chosen(self, cases: list[PlannedCase]) -> list[PlannedCase]:
        return [case for case in cases if case.id == self._arguments.sample]

    def _begins(self, step: Step, limit_s: float) -> None:
        if step.round == WARM_UP or not _PLAIN_SAMPLED[(step.round - 1) % 4]:
            return
        assert self._recorder is not None
        case = step.cases[0]
        self._recorder.start(
            python_processes(self._gateway_pid),
            self._dir / "raw" / case.scenario / recording_name(case.name, step.round),
            case=case.id,
            number=step.round,
            longest_s=limit_s,
        )

    def _ended(self) -> None:
        assert self._recorder is not None
        self._recorder.stop()


def check_case(settings: Settings, case_id: str) -> None:
    """Refuse a case that is not there, or that the gateway has no part in.

    Raises:
        UserError: naming what there is.
    """
    scenario, _, name = case_id.partition("/")
    scenarios = settings.config.scenarios
    if scenario not in scenarios:
        raise UserError(f"CASE={case_id}: must be scenario/name, and the scenarios are {', '.join(scenarios)}")
    cases = scenarios[scenario].cases
    if name not in cases:
        raise UserError(f"CASE={case_id}: {scenario} has no such case; it has {', '.join(cases)}")
    if cases[name].route == "direct":
        raise UserError(f"CASE={case_id}: goes straight to the MCP server, so the gateway does nothing in it")


def profile_settings(settings: Settings) -> Settings:
    """The load of a profiled run: its own number of requests unless one is given, and rounds in pairs."""
    config = settings.config
    load, own = config.performance, config.profiling
    is_given = settings.is_given("performance.default_requests")
    performance = load.model_copy(
        update={
            "default_requests": load.default_requests if is_given else max(own.requests, load.default_concurrency),
            "iterations": 2 * own.pairs,
            "warmup": True,
            "warmup_requests": max(load.warmup_requests, load.default_concurrency),
        }
    )
    return settings.model_copy(update={"config": config.model_copy(update={"performance": performance})})


def gateway_pid(url: str) -> int:
    """The process of the local stack's gateway.

    Raises:
        UserError: the gateway at this address is not the local stack's, or does not run.
    """
    state = read_state(default_paths())
    if state is None or state.gateway is None or state.gateway.url != url:
        raise UserError(
            f"the gateway at {url} is not the local stack's, so its process cannot be sampled: stop it, or choose "
            "another address with GATEWAY_URL"
        )
    status = next((one for one in Supervisor(state.supervisor.socket).statuses() if one.name == GATEWAY), None)
    if status is None or not status.runs:
        raise UserError("the local stack's gateway does not run: make logs NAME=gateway says why")
    return status.pid
