"""A run under way, as the shell leads it: what each of its words means. One gateway; several: ``variants_session``."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Set
from datetime import datetime
from pathlib import Path
from typing import Protocol

from benchkit import clock
from benchkit.errors import UserError, os_reason
from benchkit.gateway.counters import ServerCounters
from benchkit.limits import check_limits
from benchkit.load.arguments_file import LoadProcess, remove_arguments, write_arguments
from benchkit.load.driver import WARM_UP, Driver, Step, steps, write_bodies
from benchkit.load.engines import programs, versions
from benchkit.load.plan import load_of, plan_cases, plan_differences
from benchkit.load.progress import Estimate, Progress
from benchkit.lock import take_machine
from benchkit.machine import describe_machine
from benchkit.model import Environment, Machine, Plan, PlannedCase, Probe, RawGatewayCounts
from benchkit.plain import printable
from benchkit.run.killed_runs import end_killed_runs
from benchkit.run.owner import write_owner
from benchkit.run.target import Connection, connect
from benchkit.settings import Settings, from_arguments
from benchkit.store import save

MAX_TOKEN_NEED_S = 900.0
"""Session tokens of the gateway live 20 minutes; no step can be promised a token for longer than this."""


class RunProtocol(Protocol):
    """What the shell can ask for; each answer is a list of fields."""

    def open(self) -> list[str]:
        """Check everything that can be checked before anything is started."""

    def plan(self) -> list[str]:
        """Resolve the cases."""

    def next(self) -> list[str]:
        """What comes next."""

    def done(self, codes: list[int]) -> list[str]:
        """The processes of the last step ended with these codes."""

    def close(self) -> list[str]:
        """All is measured."""

    def restore(self) -> None:
        """Leave the targets as they were found."""


class Pace:
    """The steps that are left, what is shown of them, and how long they will take."""

    def __init__(self, plan: Plan, first: dict[str, Probe], failed: Set[str]) -> None:
        self._left = list(steps(plan))
        self._estimate = Estimate(plan, first, failed)
        self._progress = Progress(len(self._left), plan.environment.load.iterations)
        self._step: Step | None = None
        self._started = 0.0

    @property
    def time_left(self) -> str:
        """The time for all steps that are left, in words."""
        return self._estimate.left(self._left)

    def next(self) -> tuple[Step, float] | None:
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


class Session:
    """Answers the shell, one word at a time. What a run of another kind does differently it overrides."""

    kind = ""
    """How the name of the run's directory begins; empty: with the profile's."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._settings: Settings | None = None
        self._connection: Connection | None = None
        self._driver: Driver | None = None
        self._pace: Pace | None = None
        self._dir = Path()
        self._counts: RawGatewayCounts | None = None
        self._round = WARM_UP

    def open(self) -> list[str]:
        """Check everything that can be checked before anything is started."""
        settings = self._settings = from_arguments(self._arguments)
        return opened(settings)

    def plan(self) -> list[str]:
        """Resolve the cases for this target, write plan.json, and say how long it will take."""
        settings = self._settings
        assert settings is not None, "plan before open"
        self._dir = new_run_dir(settings, self.kind)
        write_owner(self._dir, self._arguments.owner, os.getpid())
        # The shell marks a run that ends early, and it may end before this word is answered.
        self._arguments.dir_file.write_text(str(self._dir), encoding="utf-8")
        self._connection = connection = connect(settings, record_dir=self._dir)
        first = connection.gateway_counts()
        cases = self._chosen(plan_cases(settings, connection.routes, connection.catalogue))
        if all(case.skipped for case in cases):
            raise UserError(f"nothing can be measured here: {cases[0].id}: {cases[0].skipped}")
        machine = describe_machine(versions(programs(settings)))
        self._counts = connection.still_counts(first, settings.config.performance.metrics_wait, say)
        plan = make_plan(settings, connection, cases, machine, run_id=self._dir.name, command=self._arguments.command)
        plan = write_bodies(plan, self._dir)
        save(self._dir / "plan.json", plan)
        self._driver = Driver(
            plan,
            self._dir,
            programs=programs(settings),
            token=connection.token,
            counters=ServerCounters(),
            gateway_answers=connection.answers,
        )
        self._pace = Pace(plan, self._driver.first_probes(), self._driver.failed)
        announce(plan, self._pace.time_left)
        return ["ok", str(self._dir)]

    def next(self) -> list[str]:
        """The next step's processes; a step without any is closed here and the one after it answered."""
        assert self._driver is not None, "next before plan"
        assert self._pace is not None
        while (upcoming := self._pace.next()) is not None:
            step, longest = upcoming
            self._watch_counts(step)
            limit = min(2 * longest + 60, MAX_TOKEN_NEED_S)
            self._begins(step, limit)
            processes = self._driver.begin(step, limit)
            if processes:
                self._pace.load_starts()
                return run_fields(self._dir, processes)
            self._driver.end([])
            self._ended()
            self._pace.hide()
        return ["end"]

    def done(self, codes: list[int]) -> list[str]:
        """Close the step whose processes ended with these codes."""
        assert self._driver is not None, "done before next"
        assert self._pace is not None
        self._pace.load_ended()
        if interruption := self._driver.end(codes):
            say(f"interrupted: {interruption}; this round is measured again")
            self._pace.again()
        self._ended()
        return ["ok"]

    def close(self) -> list[str]:
        """Read what the gateway itself counted, and put it back as it was."""
        assert self._driver is not None, "close before plan"
        assert self._connection is not None
        assert self._settings is not None
        if self._counts is not None:
            wait_s = self._settings.config.performance.metrics_wait
            # A gateway that died meanwhile cannot tell; its cases are invalid by what was seen of them.
            with contextlib.suppress(UserError):
                counts = self._connection.settled_counts(self._counts, self._driver.sent, wait_s, say)
                save(self._dir / "raw" / "gateway_counts.json", counts)
        with contextlib.suppress(UserError):
            self.restore()
        return ["ok"]

    def restore(self) -> None:
        """Remove from the gateway what this run made on it."""
        connection, self._connection = self._connection, None
        if self._dir != Path():
            remove_arguments(self._dir)
        if self._pace is not None:
            self._pace.hide()
        if connection is not None:
            connection.close()

    def _watch_counts(self, step: Step) -> None:
        """Once a round: counts that fall are noticed only where somebody looks."""
        if self._counts is not None and self._connection is not None and step.round != self._round:
            self._round = step.round
            self._connection.watch_counts()

    def _chosen(self, cases: list[PlannedCase]) -> list[PlannedCase]:
        """Those of the scenarios' cases that are measured."""
        return cases

    def _begins(self, step: Step, limit_s: float) -> None:
        """A step is about to begin, and takes at most so many seconds."""

    def _ended(self) -> None:
        """The step is closed."""


def make_plan(
    settings: Settings,
    connection: Connection,
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


def opened(settings: Settings) -> list[str]:
    """Check what every kind of run needs, and take the machine for this one.

    Returns:
        The answer to ``open``: whether there is a report, the number of engines that this run may use, and for each
        its name, the number of words of its program, and these words. The shell learns the programs here, before
        anything that a gateway says was heard, and starts no other one.

    Raises:
        UserError: an engine's program is missing, a limit of the system is too low, another run measures, or the
            results cannot be written.
    """
    found = programs(settings)
    check_limits(settings.config.performance.default_concurrency)
    take_machine()
    check_writable(settings.results_dir)
    end_killed_runs(settings.results_dir, say)
    fields = ["ok", "true" if settings.config.reporting.generate else "false", str(len(found))]
    for name, words in found.items():
        fields += [name, str(len(words)), *words]
    return fields


def run_fields(run_dir: Path, processes: list[LoadProcess]) -> list[str]:
    """The answer that lets the shell start processes, whose arguments are written to the run's directory.

    Raises:
        UserError: an argument cannot be written there, so none is started.
    """
    write_arguments(run_dir, processes)
    return ["run", str(len(processes))]


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
