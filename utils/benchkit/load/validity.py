"""Whether a case's work happened, and if not, why: pure decisions over what the driver wrote.

A case, by itself (:func:`judge`), in this order; the first that applies decides:

====================================================================  ===========
what is seen                                                          validity
====================================================================  ===========
the plan says that it can't be measured on this target                skipped
the first check before any load: a permission is missing              skipped
an iteration was cut short                                            interrupted
the check of an answer before the load failed                         invalid
no answer was checked at all                                          invalid
the rows can't be used (damaged, too many)                            invalid
no rows                                                               invalid
a load process ended with an error                                    invalid
more rows than requests                                               invalid
any HTTP 429 that was not expected                                    invalid
failures above ``max_error_rate``, beyond chance                      invalid
wrong answers during the load above it, beyond chance                 invalid
the MCP server's counter could not be read, or began anew             invalid
errors of the MCP server above it, beyond chance, and none expected   invalid
server calls < answers, no cache, and the case expects no error       invalid
server calls < answers, a cache or an expected error explains it      valid
server calls > requests sent                                          invalid
the check of an answer after the load failed                          invalid
fewer iterations than planned                                         interrupted
anything else                                                         valid
====================================================================  ===========

"Beyond chance": :func:`benchkit.load.chance.is_above`, so one failure of 300 is told and condemns nothing.

A failed check after the load stands behind what the load itself shows, for that has counts; both are told. A missing
iteration stands behind the failed checks because the driver does not measure a case again whose check failed.

The gateway's own metrics are kept per kind (tools, resources, prompts), so they are held against all cases of a kind
together (:func:`reconcile`). ``known`` is how many failed or missing executions are explained by what was already seen
(:func:`explained`): requests that failed by their status or had no answer, and all requests of a case whose answers
failed their check. ``surplus`` is how many more executions were counted than sent: somebody else's, or an earlier
run's that arrived late; any of them may have failed.

The first row that applies decides:

==========================================================  ===========================================
what the counts show                                        result for the kind
==========================================================  ===========================================
they are not told after the run, or fell below the first    warning: not reconciled
nothing moved                                               warning: the gateway does not record
they had not settled, or their reading is in doubt          warning: not reconciled
failed > expected + known + surplus, beyond chance          invalid
succeeded < expected - known, beyond chance, nothing cached invalid
either of them, by so few that chance may explain it        warning: so many
surplus                                                     warning: somebody else, or an earlier run
anything else                                               valid
==========================================================  ===========================================

Beyond chance: were all of them failures of the kind's smallest case, it would be invalid.

"Invalid" means each valid case of the kind, but for those that the MCP servers' own counts cleared exactly (calls =
sent = ok, no failure): they stay valid. Either way a warning of the run tells the numbers. A warning alone changes no
case: the other witnesses decide. The gateway may count an expected error as a success, so only sums show a surplus.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchkit.errors import missing_permission
from benchkit.load.chance import is_above, least_percent
from benchkit.model import (
    Checks,
    Counts,
    ExecutionCount,
    GatewayCount,
    PlannedCase,
    Probe,
    RawGatewayCounts,
    RawIteration,
    Validity,
)

_FORBIDDEN = 403

TRANSPORT = "transport"
"""Kind of the failures that left no row."""

WRONG_ANSWER = "wrong answer"
"""Kind of the answers with the expected status that were read and are not what the case expects."""

UNEXPECTED_EVENT = "unexpected event"
"""Kind of the failures that an engine which checks events itself reports as status 0."""

_HOPELESS = 99.999999
"""Percent of failures; above it nothing succeeded, so there is nothing to measure whatever is allowed."""

RATE_LIMIT_HINT = (
    "the gateway limits the rate: set RATE_LIMITING_ENABLED=false on it (or raise its limits), and measure again"
)


@dataclass(frozen=True)
class IterationFacts:
    """What one iteration left: its raw document, and the answers by status over all its parts.

    ``problem`` says why the rows can't be used; ``statuses`` is empty then.
    """

    raw: RawIteration
    statuses: Counter[int] = field(default_factory=Counter)
    problem: str = ""

    @property
    def checks(self) -> list[Checks]:
        """What the checkers saw during the load, part by part."""
        return [part.checks for part in self.raw.parts if part.checks is not None]

    @property
    def generated(self) -> int:
        """Requests that the load generator was to send."""
        return sum(part.sent for part in self.raw.parts)

    @property
    def sent(self) -> int:
        """Requests of the load generator and of the checkers."""
        return self.generated + sum(one.sent for one in self.checks)

    def ok(self, case: PlannedCase) -> int:
        """Answers with the expected status; of those that were read, the right ones."""
        return self.statuses[case.expect.status] + sum(len(one.right_s) for one in self.checks)


@dataclass(frozen=True)
class Judgement:
    """A validity with its reason in words; the reason is empty for a valid case.

    ``doubtful``: an answer failed its check, so those with the right status may be as wrong.
    """

    validity: Validity
    reason: str = ""
    doubtful: bool = False


def complete(facts: Sequence[IterationFacts]) -> list[IterationFacts]:
    """The iterations that ran to their end: only these are counted."""
    return [one for one in facts if not one.raw.interrupted and one.raw.parts]


def errors(case: PlannedCase, facts: Sequence[IterationFacts]) -> dict[str, int]:
    """Failed requests by kind: ``http 503``, ``transport`` (no answer), ``unexpected event``, ``wrong answer``.

    Iterations whose rows can't be used say nothing about it.
    """
    facts = [one for one in facts if not one.problem]
    statuses = _statuses(facts)
    kinds = Counter(
        {
            UNEXPECTED_EVENT if status == 0 else f"http {status}": count
            for status, count in sorted(statuses.items())
            if status != case.expect.status
        }
    )
    kinds[TRANSPORT] = max(0, sum(one.generated for one in facts) - statuses.total())
    for checks in (checks for one in facts for checks in one.checks):
        kinds.update(checks.failed)
        kinds[WRONG_ANSWER] += checks.wrong
    return dict(+kinds)


def count(case: PlannedCase, facts: Sequence[IterationFacts]) -> Counts:
    """The case's work as clients and MCP servers counted it, over complete iterations."""
    parts = [part for one in facts for part in one.raw.parts]
    counted = bool(parts) and all(part.server_calls is not None for part in parts)
    checks = [checks for one in facts for checks in one.checks]
    return Counts(
        sent=sum(one.sent for one in facts),
        ok=sum(one.ok(case) for one in facts),
        checked=sum(len(one.right_s) + one.wrong for one in checks) if checks else None,
        wrong=sum(one.wrong for one in checks) if checks else None,
        server=sum(part.server_calls or 0 for part in parts) if counted else None,
        server_failed=sum(part.server_failures or 0 for part in parts) if counted else None,
        cached=case.cached,
    )


def judge(case: PlannedCase, facts: Sequence[IterationFacts], max_error_rate: float) -> Judgement:
    """Judge a case by its own iterations; the table is in the module's description.

    Args:
        case: as planned.
        facts: the iterations that left a raw document, in order.
        max_error_rate: in percent.
    """
    if skipped := case.skipped or _refused(case, facts):
        return Judgement(Validity.SKIPPED, skipped)
    measured = complete(facts)
    progress = f"{len(measured)} of {case.iterations} iterations were measured"
    if cut := [one.raw for one in facts if one.raw.interrupted]:
        why = f"{cut[0].interruption} (iteration {cut[0].iteration}); " if cut[0].interruption else ""
        return Judgement(Validity.INTERRUPTED, f"interrupted: {why}{progress}")
    before, after = _probe_problems(case, facts)
    if before:
        return Judgement(Validity.INVALID, before, doubtful=True)
    seen = wrong = ""
    if measured:
        wrong = _wrong_answers(facts, max_error_rate)
        seen = (
            _rows_problem(case, measured)
            or _failures(case, measured, max_error_rate)
            or wrong
            or _servers(case, measured, max_error_rate)
        )
    if problem := "; ".join(filter(None, (seen, after))):
        return Judgement(Validity.INVALID, problem, doubtful=bool(after or wrong))
    if len(measured) < case.iterations:
        return Judgement(Validity.INTERRUPTED, f"not measured to its end: {progress}")
    return Judgement(Validity.VALID)


def _statuses(facts: Sequence[IterationFacts]) -> Counter[int]:
    return sum((one.statuses for one in facts), Counter())


# ---------------------------------------------------------------------------------------------------------------------
# One case


def _probe_problems(case: PlannedCase, facts: Sequence[IterationFacts]) -> tuple[str, str]:
    """The first failed check of an answer before a load, and the first after one; empty where there is none."""
    words = {"before": "", "after": ""}
    for raw in (one.raw for one in facts):
        which = f" (iteration {raw.iteration} of {case.iterations})" if case.iterations > 1 else ""
        for probe in raw.probes:
            when = probe.when or ("before" if _stands_before(probe, raw) else "after")
            if probe.problem and words.get(when) == "":
                words[when] = f"{when} its load{which}: {probe.problem}"
    return words["before"], words["after"]


def _refused(case: PlannedCase, facts: Sequence[IterationFacts]) -> str:
    """The permission that the token lacks for the case, in words; empty where none is missing, or it was measured."""
    if not facts or any(one.raw.parts for one in facts) or case.expect.status == _FORBIDDEN:
        return ""
    problems = [probe.problem for probe in facts[0].raw.probes if probe.problem]
    if not problems or any(probe.status != _FORBIDDEN for probe in facts[0].raw.probes if probe.problem):
        return ""
    permission = missing_permission(problems[0])
    return (
        f"the token lacks the permission {permission}" if permission else f"the token lacks a permission: {problems[0]}"
    )


def _stands_before(probe: Probe, raw: RawIteration) -> bool:
    return not raw.parts or probe.at <= min(part.started for part in raw.parts)


def _rows_problem(case: PlannedCase, facts: Sequence[IterationFacts]) -> str:
    if not any(one.raw.probes for one in facts):
        return "no answer was checked beside its load, so nothing shows that its work happened"
    for one in facts:
        if one.problem:
            return one.problem
    sent = sum(one.generated for one in facts)
    rows = _statuses(facts).total()
    ended = sorted({part.exit_status for one in facts for part in one.raw.parts} - {0})
    how = f"{case.engine} ended with exit status {', '.join(map(str, ended))}" if ended else ""
    if not rows:
        hint = f"; {how}" if how else f": refused, reset or timed out after {case.timeout_s} s"
        return f"none of {sent} requests got an answer{hint}"
    if how:
        return f"{how} after {rows} of {sent} answers"
    if rows > sent:
        return f"{case.engine} left {rows} rows for {sent} requests; the files of this case are not of one run"
    return ""


def _failures(case: PlannedCase, facts: Sequence[IterationFacts], max_error_rate: float) -> str:
    kinds = errors(case, facts)
    kinds.pop(WRONG_ANSWER, None)  # judged against the answers that were read, see _wrong_answers
    sent = sum(one.sent for one in facts)
    failed = sum(kinds.values())
    share = 100 * failed / sent
    limited = kinds.get("http 429", 0)
    if not limited and share <= _HOPELESS and not is_above(failed, sent, max_error_rate):
        return ""
    words = "; ".join(_failure_words(kind, number, sent, case) for kind, number in kinds.items())
    if limited:
        return f"{words}: {RATE_LIMIT_HINT}"
    return f"{words}: {share:.3g} % failed, {max_error_rate:g} % may (performance.max_error_rate)"


def _wrong_answers(facts: Sequence[IterationFacts], max_error_rate: float) -> str:
    """What the answers that were read during the load say against the case; empty when nothing."""
    seen = wrong_answers(one.raw for one in facts)
    if not is_above(seen.wrong, seen.answers, max_error_rate):
        return ""
    return f"{seen.words}; {max_error_rate:g} % may be (performance.max_error_rate)"


@dataclass(frozen=True)
class WrongAnswers:
    """How many of the answers that were read were wrong, and the first of them in words (secrets masked)."""

    answers: int
    wrong: int
    first: str

    @property
    def words(self) -> str:
        """All of it in a sentence."""
        share = 100 * self.wrong / self.answers
        was = "was" if self.wrong == 1 else "were"
        return (
            f"{self.wrong} of {self.answers} answers that were read while it ran {was} wrong ({share:.3g} %, at least "
            f"{least_percent(self.wrong, self.answers):.2g} % beyond chance), the first: {self.first}"
        )


def wrong_answers(iterations: Iterable[RawIteration]) -> WrongAnswers:
    """The answers that were read while the case's load ran or right beside it, the repeated checks included."""
    answers = wrong = 0
    first = ""
    for raw in iterations:
        if raw.interrupted or not raw.parts:
            continue
        for checks in filter(None, (part.checks for part in raw.parts)):
            answers += len(checks.right_s) + checks.wrong + checks.extra_sent
            wrong += checks.wrong + checks.extra_wrong
            first = first or checks.first_wrong
        for probe in raw.probes:
            answers += 1 + bool(probe.retried)
            wrong += bool(probe.retried)
            first = first or probe.retried
    return WrongAnswers(answers, wrong, first)


def _failure_words(kind: str, number: int, sent: int, case: PlannedCase) -> str:
    if kind == TRANSPORT:
        return f"{number} of {sent} requests got no answer (refused, reset or timed out after {case.timeout_s} s)"
    if kind == UNEXPECTED_EVENT:
        return f"{number} of {sent} connections began with another event than expected"
    return f"{number} of {sent} answers were {kind.upper()}"


def _servers(case: PlannedCase, facts: Sequence[IterationFacts], max_error_rate: float) -> str:
    """What the simulated servers' own counts say against the case; empty when nothing."""
    for one in facts:
        for part in one.raw.parts:
            if part.server_problem:
                return f"its calls could not be counted (iteration {one.raw.iteration}): {part.server_problem}"
    counts = count(case, facts)
    failed = sum(part.server_failures or 0 for one in facts for part in one.raw.parts)
    if not case.gateway_fails and is_above(failed, counts.sent, max_error_rate):
        return f"the MCP server answered {failed} calls with an error, inside answers whose status looked right"
    if counts.server is None:
        return ""
    called = f"the MCP server was called {counts.server} times"
    if counts.server < counts.ok and not (case.cached or case.gateway_fails):
        missing = counts.ok - counts.server
        return f"{counts.ok} answers came, {called}: {missing} answers are not its work"
    if counts.server > counts.sent:
        return (
            f"{counts.sent} requests were sent, {called}: somebody else used it at the same time, or requests were "
            "sent again after broken connections"
        )
    return ""


# ---------------------------------------------------------------------------------------------------------------------
# All cases of a kind


@dataclass(frozen=True)
class CaseFacts:
    """A case as far as the gateway's metrics concern it; ``explained`` as :func:`explained` answers it."""

    planned: PlannedCase
    judgement: Judgement
    counts: Counts
    explained: int

    @property
    def cleared(self) -> bool:
        """Whether the MCP servers' own counts prove every single answer."""
        return self.counts.server == self.counts.sent == self.counts.ok and not self.counts.server_failed


def explained(case: PlannedCase, facts: Sequence[IterationFacts], judgement: Judgement) -> int:
    """How many executions that failed, or are missing, this case accounts for by what is known of it."""
    cut_short = [one for one in facts if one.raw.interrupted]
    whole = complete(facts)
    counts = count(case, whole)
    probes = sum(bool(probe.problem) for one in facts for probe in one.raw.probes)
    hidden = 0 if case.gateway_fails else counts.server_failed or 0
    if judgement.doubtful:
        # The warm-up sends at least one request for each worker.
        hidden = counts.ok + max(case.warmup_requests, sum(part.concurrency for part in case.parts))
    return sum(one.sent for one in cut_short) + counts.sent - counts.ok + hidden + probes


_NOT_RECONCILED = "they cannot be reconciled with what was sent"


@dataclass(frozen=True)
class Reconciled:
    """What the gateway's metrics say: counts by kind, judgements that change (by case id), warnings of the run."""

    counts: list[GatewayCount]
    judgements: dict[str, Judgement]
    warnings: list[str]


def reconcile(raw: RawGatewayCounts, cases: Sequence[CaseFacts], max_error_rate: float) -> Reconciled:
    """Hold the gateway's own metrics against what was sent; the table is in the module's description."""
    result = Reconciled([], {}, [])
    for kind in ("tools", "resources", "prompts"):
        of_kind = [case for case in cases if case.planned.gateway_kind == kind and not case.planned.skipped]
        if not of_kind or kind not in raw.before:
            continue
        before, after = raw.before[kind], raw.after.get(kind)
        if after is None:
            result.warnings.append(f"the gateway did not tell its counts of {kind} after the run: {_NOT_RECONCILED}")
            continue
        if after.succeeded < before.succeeded or after.failed < before.failed:
            result.warnings.append(
                f"the gateway's counts of {kind} fell during the run, from {before.succeeded} successful and "
                f"{before.failed} failed executions to {after.succeeded} and {after.failed} (they were reset, a server "
                f"was removed, or several replicas answer in turn): {_NOT_RECONCILED}"
            )
            continue
        sent = raw.sent.get(kind, ExecutionCount(succeeded=0, failed=0))
        counted = GatewayCount(
            kind=kind,
            expected=sent.succeeded + sent.failed,
            succeeded=after.succeeded - before.succeeded,
            failed=after.failed - before.failed,
            settled=raw.settled and not raw.doubt,
            cases=[case.planned.id for case in of_kind],
        )
        result.counts.append(counted)
        _reconcile_kind(counted, sent, raw.doubt, of_kind, max_error_rate, result)
    return result


def _reconcile_kind(  # pylint: disable=too-many-arguments,too-many-positional-arguments  # counts, and their readers
    counted: GatewayCount,
    sent: ExecutionCount,
    doubt: str,
    cases: Sequence[CaseFacts],
    max_error_rate: float,
    result: Reconciled,
) -> None:
    """Add what one kind's counts say to ``result``."""
    known = sum(case.explained for case in cases)
    surplus = max(0, counted.succeeded + counted.failed - counted.expected)
    hidden = counted.failed - sent.failed - known - surplus
    missing = sent.succeeded - known - counted.succeeded
    numbers = (
        f"the gateway counts {counted.succeeded} successful and {counted.failed} failed executions of {counted.kind}, "
        f"where {sent.succeeded} and {sent.failed} were sent"
    )
    if counted.expected and not counted.recorded:
        late = "" if counted.settled else ", or writes them later than performance.metrics_wait waits"
        result.warnings.append(
            f"the gateway counts none of the {counted.expected} executions of {counted.kind} that were sent: it does "
            f"not record them (DB_METRICS_RECORDING_ENABLED){late}; its counts say nothing of this run"
        )
    elif not counted.settled:
        if hidden > 0 or missing > 0 or doubt:
            why = doubt or "it had not counted all of them when the wait for it ended (performance.metrics_wait)"
            result.warnings.append(f"{numbers}; {why}: {_NOT_RECONCILED}")
    elif hidden > 0:
        problem = f"{hidden} failed without showing in the answers' status"
        _accuse(numbers, problem, cases, result, enough=_are_many(hidden, cases, max_error_rate))
    elif missing > 0 and not any(case.planned.cached for case in cases):
        problem = f"{missing} {'execution is' if missing == 1 else 'executions are'} missing"
        _accuse(numbers, problem, cases, result, enough=_are_many(missing, cases, max_error_rate))
    elif surplus:
        result.warnings.append(
            f"{numbers}; somebody else used the gateway at the same time, or counts of earlier work arrived late"
        )


def _are_many(failures: int, cases: Sequence[CaseFacts], max_error_rate: float) -> bool:
    """Whether so many would be too many for one of the cases, if all were its own: nobody knows whose they are."""
    smallest = min((case.counts.sent for case in cases if case.counts.sent and not case.cleared), default=0)
    return is_above(failures, max(failures, smallest), max_error_rate)


def _accuse(numbers: str, problem: str, cases: Sequence[CaseFacts], result: Reconciled, *, enough: bool) -> None:
    """Judge every case of a kind that the MCP servers' own counts do not clear; too few failures are only told."""
    if not enough:
        result.warnings.append(f"{numbers}: {problem}; too few to say that more fail than may")
        return
    accused = [case for case in cases if case.judgement.validity is Validity.VALID and not case.cleared]
    reason = (
        f"{numbers}: {problem}; the gateway keeps these counts per kind only, so every case of the kind is in doubt"
    )
    result.judgements.update({case.planned.id: Judgement(Validity.INVALID, reason) for case in accused})
    cleared = sum(case.judgement.validity is Validity.VALID and case.cleared for case in cases)
    kept = f"; {cleared} cases stay valid, for the MCP servers counted each of their calls" if cleared else ""
    result.warnings.append(f"{numbers}: {problem}{kept}")
