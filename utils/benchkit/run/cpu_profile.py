"""A CPU profile run: one case, measured in rounds that alternate between sampler on and sampler off."""

from __future__ import annotations

import argparse
from collections.abc import Generator

from benchkit.errors import ExitCode, UserError
from benchkit.load.driver import WARM_UP, Driver
from benchkit.load.driver import Step as LoadStep
from benchkit.model import PlannedCase
from benchkit.profiling.recorder import Recorder, find_sampler, python_processes, try_sampler
from benchkit.profiling.rounds import recording_name
from benchkit.run.session import RunSession, Shell, say
from benchkit.run.steps import End, Program, Step, code_of
from benchkit.settings import Settings, from_arguments
from benchkit.stack.lifecycle import deployment
from benchkit.stack.state import default_paths, read_state

_PLAIN_SAMPLED = (False, True, True, False)
"""Whether the sampler runs, round by round. Alternating makes a drift during the run affect both equally."""


class CpuProfileSession(RunSession):
    """A run of one case whose gateway is sampled in every other round."""

    kind = "profile"

    def __init__(self, options: argparse.Namespace, shell: Shell) -> None:
        super().__init__(options, shell)
        self._recorder: Recorder | None = None
        self._gateway_pid = 0

    def open(self) -> Settings:
        """Check everything that can be checked before anything starts."""
        find_sampler()
        settings = from_arguments(self._options)
        check_case(settings, self._options.case)
        if settings.config.service.mode == "external":
            raise UserError("GATEWAY=external (service.mode): only the local stack's gateway can be sampled")
        self._options.scenarios = self._options.case.partition("/")[0]
        settings = super().open()
        self._settings = profile_settings(settings)
        return settings

    def _plan(self) -> Driver:
        """Find the gateway's process and take a first sample; then plan as for every run."""
        settings = self._settings
        assert settings is not None, "plan before open"
        program = find_sampler()
        self._gateway_pid = gateway_pid(settings.config.service.base_url)
        wanted = not self._options.python_only
        native = try_sampler(program, self._gateway_pid, native=wanted)
        if wanted and not native:
            say("warning: py-spy cannot see compiled code here: garbage collection will not show")
        self._recorder = Recorder(program, rate=settings.config.profiling.rate, native=native)
        return super()._plan()

    def _judge(self) -> Generator[Step, list[int], End]:
        """Turn raw/ into profile.json and profile.html."""
        code = yield from code_of(Program(["profile_report.py", self._dir]))
        reasons = {ExitCode.OK: "sampled", ExitCode.INVALID: "invalid: nothing is said about where the time went"}
        return End(code, reasons.get(ExitCode(code), "the profile could not be written"))

    def restore(self) -> None:
        """Write what was sampled so far; then restore as for every run."""
        if self._recorder is not None:
            self._recorder.stop()
        super().restore()

    def _chosen(self, cases: list[PlannedCase]) -> list[PlannedCase]:
        return [case for case in cases if case.id == self._options.case]

    def _begins(self, step: LoadStep, limit_s: float) -> None:
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
    """Refuse a case that does not exist, or that bypasses the gateway.

    Raises:
        UserError: the case is refused; the message lists the valid names.
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
    """Return the settings of a profiled run: its own request count unless the user set one, and an even round count."""
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
    """Return the pid of the local stack's gateway.

    Raises:
        UserError: the gateway at this address does not belong to the local stack, or is not running.
    """
    state = read_state(default_paths())
    if state is None or state.target is None or state.target.url != url:
        raise UserError(
            f"the gateway at {url} is not the local stack's, so its process cannot be sampled: stop it, or choose "
            "another address with GATEWAY_URL"
        )
    statuses = deployment(default_paths()).statuses(state)
    status = next((one for one in statuses if one.kind == "gateway"), None)
    if status is None or not status.runs:
        raise UserError("the local stack's gateway does not run: make logs NAME=gateway says why")
    return status.pid
