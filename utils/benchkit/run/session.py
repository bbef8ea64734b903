"""A run of one gateway, step by step. Several gateways: :mod:`benchkit.run.paired`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Generator, Set
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from benchkit import clock
from benchkit.errors import ExitCode, UserError, os_reason
from benchkit.gateway.counters import ServerCounters
from benchkit.limits import check_limits
from benchkit.load.arguments_file import remove_arguments
from benchkit.load.driver import WARM_UP, Driver, steps, write_bodies
from benchkit.load.driver import Step as LoadStep
from benchkit.load.engines import programs, versions
from benchkit.load.plan import load_of, plan_cases, plan_differences
from benchkit.load.progress import Estimate, Progress
from benchkit.lock import take_machine
from benchkit.machine import describe_machine
from benchkit.model import Environment, Machine, Plan, PlannedCase, Probe, RawGatewayCounts
from benchkit.plain import printable
from benchkit.run.killed_runs import end_killed_runs
from benchkit.run.last_word import last_word
from benchkit.run.owner import write_owner
from benchkit.run.steps import End, Load, Program, StartMonitor, Step, Steps, StopMonitor, code_of, succeed
from benchkit.run.target import ConnectedTarget, connect
from benchkit.settings import Settings, from_arguments, given_flags
from benchkit.store import save

MAX_TOKEN_NEED_S = 900.0
"""Session tokens of the gateway live 20 minutes; no step can be promised a token for longer than this."""


@dataclass(frozen=True)
class Shell:
    """The shell that leads a run.

    ``pid``: its own. ``tmp``: its temporary directory. ``dir_file``: takes the run's directory for the runner that
    started this one; absent where nobody did. ``command``: what was typed, for run.json.
    """

    pid: int
    tmp: Path
    dir_file: Path | None
    command: str

    def tell_dir(self, run_dir: Path) -> None:
        """Let the shell know the run's directory at once: it marks a run that ends early."""
        for file in (self.tmp / "dir", self.dir_file):
            if file is not None:
                file.write_text(str(run_dir), encoding="utf-8")


class Session(Protocol):
    """A run of any kind, as utils/measure.py leads it."""

    def open(self) -> Settings:
        """Check everything that can be checked before anything is started."""

    def steps(self) -> Steps:
        """The run itself."""

    def restore(self) -> None:
        """Leave the targets as they were found."""


class Pace:
    """The steps that are left, what is shown of them, and how long they will take."""

    def __init__(self, plan: Plan, first: dict[str, Probe], failed: Set[str]) -> None:
        self._left = list(steps(plan))
        self._estimate = Estimate(plan, first, failed)
        self._progress = Progress(len(self._left), plan.environment.load.iterations)
        self._step: LoadStep | None = None
        self._started = 0.0

    @property
    def time_left(self) -> str:
        """The time for all steps that are left, in words."""
        return self._estimate.left(self._left)

    def next(self) -> tuple[LoadStep, float] | None:
        """The next step and the most seconds it may take; ``None`` after the last."""
        if not self._left:
            return None
        time_left = self.time_left
        self._step = self._left.pop(0)
        longest = self._estimate.of(self._step)[1]
        self._progress.begin(self._step, longest, time_left)
        return self._step, longest

    def load_starts(self) -> None:
        """The step's processes are about to be started."""
        self._started = time.monotonic()

    def load_ended(self) -> None:
        """They ended: the time that they took is the best guess for the next round."""
        assert self._step is not None, "done before next"
        self._estimate.learn(self._step, time.monotonic() - self._started)
        self.hide()

    def again(self) -> None:
        """The last step has to be measured again."""
        assert self._step is not None, "again before next"
        self._left.insert(0, self._step)

    def hide(self) -> None:
        """Take the line of progress away."""
        self._progress.end()


class RunSession:
    """A run of the scenarios. What a run of another kind does differently it overrides."""

    kind = ""
    """How the name of the run's directory begins; empty: with the profile's."""

    def __init__(self, options: argparse.Namespace, shell: Shell) -> None:
        self._options = options
        self._shell = shell
        self._settings: Settings | None = None
        self._connection: ConnectedTarget | None = None
        self._dir = Path()
        self._pace: Pace | None = None
        self._counts: RawGatewayCounts | None = None
        self._round = WARM_UP

    def open(self) -> Settings:
        """Check everything that can be checked before anything is started."""
        settings = self._settings = from_arguments(self._options)
        check_start(settings)
        return settings

    def steps(self) -> Steps:
        """Ensure a gateway, measure it, and judge what was measured."""
        ensure = ["stack.py", "ensure", "--owner", self._shell.pid, "--owner-file", self._shell.tmp / "owner"]
        yield from succeed(Program([*ensure, *setting_flags(self._options)], output="none"))
        driver = self._plan()
        monitor = [self._dir / "raw" / "monitor.jsonl", "--shell", self._shell.pid]
        yield StartMonitor([*monitor, *setting_flags(self._options)])
        yield from self._measure(driver)
        yield StopMonitor()
        self._close(driver)
        return (yield from self._judge())

    def restore(self) -> None:
        """Remove from the gateway what this run made on it."""
        connection, self._connection = self._connection, None
        if self._dir != Path():
            remove_arguments(self._dir)
        if self._pace is not None:
            self._pace.hide()
        if connection is not None:
            connection.close()

    def _plan(self) -> Driver:
        """Resolve the cases for this target, write plan.json, and say how long it will take."""
        settings = self._settings
        assert settings is not None, "plan before open"
        self._dir = new_run_dir(settings, self.kind)
        write_owner(self._dir, self._shell.pid, os.getpid())
        self._shell.tell_dir(self._dir)
        self._connection = connection = connect(settings, record_dir=self._dir)
        first = connection.gateway_counts()
        cases = self._chosen(plan_cases(settings, connection.routes, connection.catalogue))
        if all(case.skipped for case in cases):
            raise UserError(f"nothing can be measured here: {cases[0].id}: {cases[0].skipped}")
        engines = programs(settings)
        machine = describe_machine(versions(engines))
        self._counts = connection.still_counts(first, settings.config.performance.metrics_wait, say)
        plan = make_plan(settings, connection, cases, machine, run_id=self._dir.name, command=self._shell.command)
        plan = write_bodies(plan.model_copy(update={"is_cpu_profile": self.kind != ""}), self._dir)
        save(self._dir / "plan.json", plan)
        driver = Driver(
            plan,
            self._dir,
            programs=engines,
            token=connection.token,
            counters=ServerCounters(),
            gateway_answers=connection.answers,
        )
        self._pace = Pace(plan, driver.first_probes(), driver.failed)
        announce(plan, self._pace.time_left)
        return driver

    def _measure(self, driver: Driver) -> Generator[Step, list[int], None]:
        """Every step of the plan; one without any process is closed at once."""
        assert self._pace is not None
        while (upcoming := self._pace.next()) is not None:
            step, longest = upcoming
            self._watch_counts(step)
            limit = min(2 * longest + 60, MAX_TOKEN_NEED_S)
            self._begins(step, limit)
            processes = driver.begin(step, limit)
            if processes:
                self._pace.load_starts()
                codes = yield Load(self._dir, processes)
                self._pace.load_ended()
                if interruption := driver.end(codes):
                    say(f"interrupted: {interruption}; this round is measured again")
                    self._pace.again()
            else:
                driver.end([])
                self._pace.hide()
            self._ended()

    def _close(self, driver: Driver) -> None:
        """Read what the gateway itself counted, and put it back as it was."""
        assert self._connection is not None
        assert self._settings is not None
        if self._counts is not None:
            wait_s = self._settings.config.performance.metrics_wait
            # A gateway that died meanwhile cannot tell; its cases are invalid by what was seen of them.
            with contextlib.suppress(UserError):
                counts = self._connection.settled_counts(self._counts, driver.sent, wait_s, say)
                save(self._dir / "raw" / "gateway_counts.json", counts)
        with contextlib.suppress(UserError):
            self.restore()

    def _judge(self) -> Generator[Step, list[int], End]:
        """raw/ to run.json, baseline, comparison and report."""
        code = yield from code_of(Program(["collect_results.py", self._dir]))
        if code not in (ExitCode.OK, ExitCode.INVALID):
            return End(code, "the run could not be collected")
        end = yield from self._against_baseline(code)
        if self._has_report:
            report = yield from code_of(Program(["report_generator.py", self._dir]))
            if report != ExitCode.OK:
                say("warning: the report could not be written")
        return end

    def _against_baseline(self, code: int) -> Generator[Step, list[int], End]:
        if self._options.baseline == "save" and code == ExitCode.OK:
            saved = yield from code_of(Program(["baseline_manager.py", "save", self._dir], output="err"))
            return End(saved, "it could not be saved as baseline" if saved else "saved as baseline")
        if self._options.baseline == "save":
            say("warning: not saved as baseline: at least one case is invalid")
        if self._options.baseline != "compare":
            return End(code, last_word(self._dir).line)
        compared = yield from code_of(Program(["compare_results.py", self._dir, "--join"]))
        comparison = self._dir / "comparison.json"
        if compared == ExitCode.OK and not comparison.exists():
            return End(code, "passed: saved as the initial baseline")
        return end_of_comparison(compared, code, self._dir)

    @property
    def _has_report(self) -> bool:
        assert self._settings is not None
        return wants_report(self._settings, self._options)

    def _watch_counts(self, step: LoadStep) -> None:
        """Once a round: counts that fall are noticed only where somebody looks."""
        if self._counts is not None and self._connection is not None and step.round != self._round:
            self._round = step.round
            self._connection.watch_counts()

    def _chosen(self, cases: list[PlannedCase]) -> list[PlannedCase]:
        """Those of the scenarios' cases that are measured."""
        return cases

    def _begins(self, step: LoadStep, limit_s: float) -> None:
        """A step is about to begin, and takes at most so many seconds."""

    def _ended(self) -> None:
        """The step is closed."""


def end_of_comparison(compared: int, collected: int, run_dir: Path) -> End:
    """How a run ended that was compared; the codes are those of both programs."""
    if compared == ExitCode.USAGE or compared not in set(ExitCode):
        return End(compared, "the comparison failed")
    return End(compared or collected, last_word(run_dir).line, run_dir / "comparison.json")


def setting_flags(options: argparse.Namespace) -> list[str]:
    """The flags of the command line that set values, for a program that reads the settings as well."""
    profile = getattr(options, "profile", None)
    given = {**({"--profile": profile} if profile else {}), **given_flags(options)}
    return [word for pair in given.items() for word in pair]


def wants_report(settings: Settings, options: argparse.Namespace) -> bool:
    """Whether HTML is written: as config.yaml says, and not with --no-report."""
    return settings.config.reporting.generate and not getattr(options, "no_report", False)


def make_plan(
    settings: Settings,
    connection: ConnectedTarget,
    cases: list[PlannedCase],
    machine: Machine,
    *,
    run_id: str,
    command: str,
) -> Plan:
    """The plan of a run: the resolved cases, and everything that has to be known to compare it."""
    return Plan(
        run_id=run_id,
        created=clock.now(),
        environment=Environment(
            machine=machine,
            target=connection.target,
            load=load_of(settings),
        ),
        scenarios=settings.scenarios,
        command=command,
        max_error_rate=settings.config.performance.max_error_rate,
        cases=cases,
        differences=plan_differences(settings),
        warnings=connection.warnings,
    )


def check_start(settings: Settings) -> None:
    """Check what every kind of run needs, and take the machine for this one.

    Raises:
        UserError: an engine's program is missing, a limit of the system is too low, another run measures, or the
            results cannot be written.
    """
    programs(settings)
    check_limits(settings.config.performance.default_concurrency)
    take_machine()
    check_writable(settings.results_dir)
    end_killed_runs(settings.results_dir, say)


def engine_fields(settings: Settings) -> list[str]:
    """For each engine that the run may use its name, the number of its words, and the words of its program.

    The shell learns them before anything that a gateway says was heard, and starts no other program.

    Raises:
        UserError: an engine's program is missing.
    """
    fields = []
    for name, words in programs(settings).items():
        fields += [name, str(len(words)), *words]
    return fields


def check_writable(directory: Path) -> None:
    """Make the results' directory, and raise :class:`UserError` where nothing can be written there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise UserError(f"{directory}: results cannot be written there: {os_reason(error)}; set RESULTS_DIR") from error


def new_run_dir(settings: Settings, name: str = "") -> Path:
    """A directory of its own for this run, named by its kind (the profile) and local time."""
    while True:
        path = settings.results_dir / f"{name or settings.profile}_{datetime.now():%Y-%m-%d-%H%M%S}"
        try:
            path.mkdir()
            (path / "raw").mkdir()
        except FileExistsError:
            time.sleep(0.2)
        except OSError as error:
            raise UserError(f"{path}: cannot be made: {os_reason(error)}") from error
        else:
            return path


def announce(plan: Plan, time_left: str) -> None:
    """Say what is about to be measured, and how long it will take."""
    target, load = plan.environment.target, plan.environment.load
    measured = [case for case in plan.cases if not case.skipped]
    say(
        f"{plan.run_id}: {len(measured)} cases x {load.iterations} rounds, {load.requests} requests each at "
        f"{load.concurrency} concurrent, against {target.base_url} "
        f"(gateway {target.release or 'of unknown release'}, {target.database or 'unknown database'})"
    )
    for case in plan.cases:
        if case.skipped:
            say(f"skipped: {case.id}: {case.skipped}")
    for warning in plan.warnings:
        say(f"warning: {warning}")
    say(f"this will take {time_left}")


def say(text: str) -> None:
    """A line for the user; standard output belongs to the conversation."""
    print(printable(text), file=sys.stderr, flush=True)
