"""Drive the measurement of a run: choose the next load, check the target before and after it, and write ``raw/``.

The shell (``utils/lib/runner.sh``) starts and stops the processes that this module chooses. The order is by round:
every case once, then every case again. So a drift of the machine or the gateway affects all cases alike and shows up
between the iterations of each case.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from benchkit import clock, http
from benchkit.errors import UserError
from benchkit.load.arguments_file import LoadProcess
from benchkit.load.chance import is_above
from benchkit.load.checker import Checkers
from benchkit.load.engines import STDIN, Engine, engine_named
from benchkit.load.interruptions import Watch, silent_gap
from benchkit.load.job import Job
from benchkit.load.probe import probe
from benchkit.load.validity import wrong_answers
from benchkit.model import (
    Checks,
    CounterReading,
    ExecutionCount,
    HttpRequest,
    Part,
    Plan,
    PlannedCase,
    Probe,
    RawIteration,
    RawPart,
    ServerCounter,
    part_files,
)
from benchkit.store import save, write_text

WARM_UP = 0
"""The round before the first: same requests, path and token, but nothing is recorded."""

_GIVE_UP_AFTER = 3
"""After this many consecutive cases without any answer, the gateway's health is checked."""

_MIN_FREE_BYTES = 2**20

_PROBE_ATTEMPTS = 3

_MANY_WRONG = 10
"""With this many wrong answers in one round, a case's error rate is known; with fewer, more answers are checked."""


class ServerCounters(Protocol):
    """Reads the counters of simulated MCP servers; implemented in :mod:`benchkit.gateway`."""

    def read(self, counter: ServerCounter) -> CounterReading | None:
        """Return the counter's current value; ``None`` if the server does not answer."""


@dataclass(frozen=True)
class Step:
    """Load that runs at the same time: a case, or the cases of a group. ``round`` counts from 1; 0 is the warm-up."""

    round: int
    cases: tuple[PlannedCase, ...]

    @property
    def name(self) -> str:
        """The name to display: the case, or the group."""
        return self.cases[0].id if len(self.cases) == 1 else f"{self.cases[0].group} ({len(self.cases)} kinds at once)"


@dataclass
class _Running:
    """A part whose load is running."""

    engine: Engine
    job: Job
    argv: list[str]
    output: Path
    counted: CounterReading | None

    @property
    def case(self) -> PlannedCase:
        """The case of the part."""
        return self.job.case

    @property
    def part(self) -> Part:
        """The part that is loaded."""
        return self.job.part

    def process(self, token: str, *, is_measured: bool) -> LoadProcess:
        """Return the process that the shell must start."""
        job = replace(self.job, token=token)
        return LoadProcess(self.engine.name, self.engine.arguments(job), self.output if is_measured else None)


@dataclass
class _Open:
    """The step that is running."""

    step: Step
    started: datetime
    clock: float
    running: list[_Running]
    before: dict[str, list[Probe]]
    checkers: Checkers
    watch: Watch


def steps(plan: Plan) -> Iterator[Step]:
    """Yield all steps of a run in order: the warm-up of every case, then the rounds."""
    measured = [case for case in plan.cases if not case.skipped]
    groups: dict[str, list[PlannedCase]] = {}
    for case in measured:
        groups.setdefault(case.group or case.id, []).append(case)
    rounds = max((case.iterations for case in measured), default=0)
    first = WARM_UP if any(case.warmup_requests for case in measured) else WARM_UP + 1
    for number in range(first, rounds + 1):
        for cases in groups.values():
            yield Step(number, tuple(cases))


class _History:
    """Results of a run's cases so far. ``max_error_rate`` is in percent."""

    def __init__(self, max_error_rate: float) -> None:
        self._max_error_rate = max_error_rate
        self._interrupted: dict[tuple[str, int], str] = {}
        self._iterations: dict[str, list[RawIteration]] = {}
        self.silent_cases = 0
        """Consecutive cases without any answer."""

    def interruption_of(self, step: Step, interruption: str) -> str:
        """Record what interrupted this attempt; return what interrupted an earlier attempt of the step, or empty."""
        key = (step.name, step.round)
        earlier = self._interrupted.get(key, "")
        if interruption and not earlier:
            self._interrupted[key] = interruption
        return earlier

    def note_iteration(self, raw: RawIteration) -> None:
        """Record a measured iteration of a case."""
        self._iterations.setdefault(raw.case, []).append(raw)

    def is_wrong(self, case: PlannedCase) -> bool:
        """Return whether significantly too many of its answers are wrong, so that it need not be measured any more."""
        seen = wrong_answers(self._iterations.get(case.id, []))
        return is_above(seen.wrong, seen.answers, self._max_error_rate)


class Driver:
    """Drives one run.

    Args:
        plan: what to measure.
        run_dir: the run's directory; ``raw/`` is written below it.
        programs: the engines' programs, as found by :func:`benchkit.load.engines.programs`.
        token: returns a token that is valid for at least the given number of seconds.
        counters: reads the simulated servers' counters.
        gateway_answers: returns whether the gateway still answers its health check.
    """

    def __init__(
        self,
        plan: Plan,
        run_dir: Path,
        *,
        programs: Mapping[str, Sequence[str]],
        token: Callable[[float], str],
        counters: ServerCounters,
        gateway_answers: Callable[[], bool],
    ) -> None:
        self._plan = plan
        self._dir = run_dir
        self._programs = programs
        self._token = token
        self._counters = counters
        self._gateway_answers = gateway_answers
        self._session = http.Session()
        self._open: _Open | None = None
        self.failed: set[str] = set()
        """Ids of cases with incorrect answers, which are not measured any more."""
        self._gateway_gone = ""
        self._history = _History(plan.max_error_rate)
        self.sent: dict[str, ExecutionCount] = {}
        """Requests sent per kind that the gateway's own metrics count, by expected outcome."""

    def first_probes(self) -> dict[str, Probe]:
        """Probe every case once before the measurement; return the probe of each case's first part by case id."""
        token = self._token(60.0)
        return {case.id: self._probe(case, case.parts[0], token) for case in self._plan.cases if not case.skipped}

    def begin(self, step: Step, expected_s: float) -> list[LoadProcess]:
        """Prepare a step and return the processes to start; empty if there is nothing to load.

        Args:
            step: the next step.
            expected_s: how long its load may take, in seconds; the token must be valid that long.

        Raises:
            UserError: the disk is full, or no token is available.
        """
        self._check_disk()
        token = self._token(expected_s)
        cases = [case for case in step.cases if case.id not in self.failed and self._has_round(case, step)]
        before = {case.id: self._probes_before(case, token) for case in cases}
        self._note_silence(step, before)
        running = []
        # The warm-up writes no document, so the first round must see the problem again to record it.
        wrong = {case.id for case in cases if any(one.problem for one in before[case.id])}
        if step.round != WARM_UP:
            self.failed |= wrong
        for case in cases:
            if case.id in wrong:
                continue
            for part, name in zip(case.parts, part_files(case, step.round), strict=True):
                running.append(self._prepared(case, part, step, name))
        measured = running if step.round != WARM_UP else []
        processes = [one.process(token, is_measured=bool(measured)) for one in running]
        checkers = Checkers([(one.case, one.part, one.output) for one in measured], token)
        self._open = _Open(step, clock.now(), time.monotonic(), running, before, checkers, Watch())
        checkers.start()
        if step.round != WARM_UP:
            for case in cases:
                if case.id in self.failed:
                    self._write(case, step.round, [], before[case.id], clock.now())
        return processes

    def _prepared(self, case: PlannedCase, part: Part, step: Step, name: str) -> _Running:
        engine = engine_named(case.engine)
        job = Job(case, part, self._requests(case, part, step), self._dir)
        argv = self._argv(engine, job)
        if step.round == WARM_UP:
            return _Running(engine, job, argv, Path("/dev/null"), None)
        output = self._raw(case, name)
        output.unlink(missing_ok=True)  # left by an interrupted attempt
        return _Running(engine, job, argv, output, self._read_counter(part))

    def end(self, statuses: list[int]) -> str:
        """Close the step after its processes ended.

        Args:
            statuses: exit status of each process that :meth:`begin` returned, in the same order.

        Returns:
            Why the step must be measured again: what interrupted it, for the first time. Usually empty.

        Raises:
            UserError: the disk is full.
        """
        opened, self._open = self._open, None
        assert opened is not None, "end without begin"
        finished = clock.now()
        # If requests left no row, throughput is computed with this time, so it may be too long but never too short.
        wall_s = round(time.monotonic() - opened.clock, 6)
        opened.checkers.stop()
        interruption = opened.watch.stop()
        checks = opened.checkers.results(opened.clock)
        checks = checks or [Checks() for _ in opened.running]
        for running, checked in zip(opened.running, checks, strict=True):
            self._count(running.case, running.job.requests + checked.sent)
        if opened.step.round == WARM_UP:
            return ""
        is_certain = bool(interruption)
        interruption = interruption or self._silence(opened.running)
        earlier = self._history.interruption_of(opened.step, interruption)
        if interruption and not earlier:
            return interruption
        parts = self._raw_parts(opened, statuses, checks, wall_s)
        token = self._token(60.0)
        for case in opened.step.cases:
            if case.id in parts:
                after = self._probes(case, token, "after")
                self._write(
                    case,
                    opened.step.round,
                    parts[case.id],
                    _same_size(opened.before[case.id], after),
                    finished,
                    # A gap that recurs comes from the gateway, so the answers count; a process that was suspended
                    # again measured nothing.
                    interrupted=is_certain,
                    interruption=interruption if is_certain else earlier,
                )
        self._check_disk()
        return ""

    def _raw_parts(
        self, opened: _Open, statuses: list[int], checks: list[Checks], wall_s: float
    ) -> dict[str, list[RawPart]]:
        """Return the records of a step's load processes by case id."""
        # Read the counters before more answers are checked, because those calls are not part of the load.
        counted = [self._counted(running) for running in opened.running]
        parts: dict[str, list[RawPart]] = {}
        for running, status, checked, (calls, failures, problem) in zip(
            opened.running, statuses, self._checked(opened, checks), counted, strict=True
        ):
            part = RawPart(
                argv=running.argv,
                sent=running.job.requests,
                started=opened.started,
                wall_s=wall_s,
                ended_s=_ended_s(running.output, opened, wall_s),
                exit_status=status,
                checks=checked if running.case.checks is not None else None,
                server_calls=calls,
                server_failures=failures,
                server_problem=problem,
            )
            parts.setdefault(running.case.id, []).append(part)
        return parts

    def _checked(self, opened: _Open, checks: list[Checks]) -> list[Checks]:
        """Check more answers of cases that are sometimes wrong, to learn how often; return the completed checks."""
        doubtful = {
            running.case.id
            for running, checked in zip(opened.running, checks, strict=True)
            if checked.wrong < _MANY_WRONG
            and (checked.wrong or any(one.retried for one in opened.before[running.case.id]))
        }
        if not doubtful:
            return checks
        more = opened.checkers.check_more(doubtful)
        for running, (sent, _) in zip(opened.running, more, strict=True):
            self._count(running.case, sent)
        return [
            checked.model_copy(update={"extra_sent": sent, "extra_wrong": wrong})
            for checked, (sent, wrong) in zip(checks, more, strict=True)
        ]

    @staticmethod
    def _silence(running: list[_Running]) -> str:
        """Return the longest unexplained gap in the answers in words; empty if there is none."""
        longest = 0.0
        for one in running:
            with contextlib.suppress(UserError):  # unreadable rows are judged when the run is collected
                longest = max(longest, silent_gap(one.engine.rows(one.output)))
        return f"no answer came for {longest:.1f} s, far longer than any other took" if longest else ""

    def _write(
        self,
        case: PlannedCase,
        iteration: int,
        parts: list[RawPart],
        probes: list[Probe],
        finished: datetime,
        *,
        interrupted: bool = False,
        interruption: str = "",
    ) -> None:
        started = parts[0].started if parts else finished
        raw = RawIteration(
            case=case.id,
            iteration=iteration,
            started=started,
            finished=finished,
            parts=parts,
            probes=probes,
            interrupted=interrupted,
            interruption=interruption,
        )
        save(self._raw(case, f"{case.name}.{iteration}.json"), raw)
        self._history.note_iteration(raw)
        if self._history.is_wrong(case):
            self.failed.add(case.id)

    def _raw(self, case: PlannedCase, name: str) -> Path:
        directory = self._dir / "raw" / case.scenario
        directory.mkdir(parents=True, exist_ok=True)
        return directory / name

    @staticmethod
    def _has_round(case: PlannedCase, step: Step) -> bool:
        return case.warmup_requests > 0 if step.round == WARM_UP else step.round <= case.iterations

    @staticmethod
    def _requests(case: PlannedCase, part: Part, step: Step) -> int:
        if step.round != WARM_UP:
            return part.requests
        workers = sum(other.concurrency for other in case.parts)
        return min(part.requests, max(1, case.warmup_requests // workers) * part.concurrency)

    def _argv(self, engine: Engine, job: Job) -> list[str]:
        """Return the command of a load process without the token, because it is printed and stored."""
        program = list(self._programs[engine.name])
        # A program that reads its arguments from standard input also accepts them on the command line.
        return [*(program[:-1] if program[-1] == STDIN else program), *engine.arguments(job)]

    def _probe(self, case: PlannedCase, part: Part, token: str) -> Probe:
        wrong = ""
        for _ in range(_PROBE_ATTEMPTS):
            result = probe(self._session, case, part, token)
            self._count(case, 1)
            # An occasional broken connection or wrong answer is part of the failure rate, which the load measures. The
            # probe only finds out whether the right answer is available at all. A timeout is final, so it is not
            # tried again.
            if not result.problem or (result.status is None and result.latency_ms >= case.timeout_s * 1000):
                break
            wrong = wrong or (result.problem if result.status is not None else "")
        return result if result.problem else result.model_copy(update={"retried": wrong})

    def _probes(self, case: PlannedCase, token: str, when: Literal["before", "after"]) -> list[Probe]:
        return [self._probe(case, part, token).model_copy(update={"when": when}) for part in case.parts]

    def _probes_before(self, case: PlannedCase, token: str) -> list[Probe]:
        if self._gateway_gone:
            return [Probe(when="before", at=clock.now(), latency_ms=0.0, problem=self._gateway_gone)]
        return self._probes(case, token, "before")

    def _note_silence(self, step: Step, before: dict[str, list[Probe]]) -> None:
        """Detect a gateway that hangs; otherwise every remaining case would cost a whole timeout."""
        if not before or self._gateway_gone:
            return
        silent = all(one.status is None for probes in before.values() for one in probes)
        self._history.silent_cases = self._history.silent_cases + 1 if silent else 0
        if self._history.silent_cases >= _GIVE_UP_AFTER and not self._gateway_answers():
            self._gateway_gone = f"not run: the gateway stopped answering before {step.name}, round {step.round}"

    def _count(self, case: PlannedCase, number: int) -> None:
        if case.gateway_kind is None:
            return
        known = self.sent.get(case.gateway_kind, ExecutionCount(succeeded=0, failed=0))
        key = "failed" if case.gateway_fails else "succeeded"
        self.sent[case.gateway_kind] = known.model_copy(update={key: getattr(known, key) + number})

    def _read_counter(self, part: Part) -> CounterReading | None:
        return self._counters.read(part.server_counter) if part.server_counter is not None else None

    def _counted(self, running: _Running) -> tuple[int | None, int | None, str]:
        """Return the calls and failures that the simulated server counted during a load, or why they are unknown."""
        before = running.counted
        if running.part.server_counter is None:
            return None, None, ""
        after = self._counters.read(running.part.server_counter)
        if before is None or after is None:
            return None, None, f"the MCP server {running.part.server} did not answer when its calls were to be counted"
        if before.instance != after.instance:
            return None, None, f"the MCP server {running.part.server} was restarted during the load"
        failures = after.failed - before.failed
        return after.ok - before.ok + failures, failures, ""

    def _check_disk(self) -> None:
        # A load process may not report a failed write, so a full disk would look like requests without an answer.
        if shutil.disk_usage(self._dir).free < _MIN_FREE_BYTES:
            raise UserError(f"{self._dir}: the disk is full; free some space or set RESULTS_DIR to another disk")


def write_bodies(plan: Plan, run_dir: Path) -> Plan:
    """Write each part's body to a file for the load generator; return the plan with the file names.

    Raises:
        UserError: the run's directory cannot be written.
    """
    cases = []
    for case in plan.cases:
        parts = []
        for number, part in enumerate(case.parts, start=1):
            request = part.request
            if not isinstance(request, HttpRequest) or request.body is None:
                parts.append(part)
                continue
            name = Path("bodies") / case.scenario / f"{case.name}.{number}.json"
            (run_dir / name).parent.mkdir(parents=True, exist_ok=True)
            write_text(run_dir / name, request.body)
            request = request.model_copy(update={"body_file": str(name)})
            parts.append(part.model_copy(update={"request": request}))
        cases.append(case.model_copy(update={"parts": parts}))
    return plan.model_copy(update={"cases": cases})


def _ended_s(output: Path, opened: _Open, wall_s: float) -> float | None:
    """Return when a generator wrote its rows (file time), in seconds after the step's start; ``None`` if unknown."""
    try:
        ended = output.stat().st_mtime - time.time() + time.monotonic() - opened.clock
    except OSError:
        return None
    return round(ended, 6) if 0 < ended <= wall_s + 0.01 else None


def _same_size(before: list[Probe], after: list[Probe]) -> list[Probe]:
    """Return both lists together, with an error on each answer that is much smaller than before the load.

    Bodies that contain a time differ by a few bytes. A body that lost a tenth of its size was cut off.
    """
    checked = []
    for first, second in zip(before, after, strict=True):
        if not second.problem and second.bytes < 0.9 * first.bytes:
            problem = f"the body had {first.bytes} bytes before the load and {second.bytes} after it"
            checked.append(second.model_copy(update={"problem": problem}))
        else:
            checked.append(second)
    return [*before, *checked]
