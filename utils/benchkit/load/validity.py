"""Judge whether a case's work was really done, and if not, why. Pure decisions over what the driver wrote.

The first rule that applies decides about a case (:func:`judge`):

====================================================================  ===========
observation                                                           validity
====================================================================  ===========
the plan says that it cannot be measured on this target               skipped
the first check before any load: a permission is missing              skipped
an iteration was cut short                                            interrupted
the check of an answer before the load failed                         invalid
no answer was checked at all                                          invalid
the rows cannot be used (damaged, too many)                           invalid
no rows                                                               invalid
a load process ended with an error                                    invalid
more rows than requests                                               invalid
any HTTP 429 that was not expected                                    invalid
failures above ``max_error_rate``, beyond chance                      invalid
wrong answers during the load above it, beyond chance                 invalid
the MCP server's counter could not be read, or was reset              invalid
errors of the MCP server above it, beyond chance, and none expected   invalid
server calls < answers, no cache, and the case expects no error       invalid
server calls < answers, a cache or an expected error explains it      valid
server calls > requests sent                                          invalid
the check of an answer after the load failed                          invalid
fewer iterations than planned                                         interrupted
anything else                                                         valid
====================================================================  ===========

"Beyond chance" means statistically significant (:func:`benchkit.load.chance.is_above`): one failure in 300 is reported,
but makes nothing invalid.

A failed check after the load comes after the results of the load itself, because those have counts; both are reported.
A missing iteration comes after the failed checks, because the driver stops measuring a case whose check failed.

The gateway keeps its own metrics per kind (tools, resources, prompts), so they are compared with the sum over all cases
of a kind (:func:`reconcile`). ``known`` is the number of failed or missing executions that are already explained
(:func:`explained`): requests that failed by their status or had no answer, and all requests of a case whose answers
failed their check. ``surplus`` is the number of executions that were counted but not sent: of another client, or of an
earlier run that were counted late. Any of them may have failed.

The first rule that applies decides:

==========================================================  ===========================================
what the counts show                                        result for the kind
==========================================================  ===========================================
missing after the run, or lower than before it              warning: not reconciled
unchanged                                                   warning: the gateway does not record
not settled, or the reading is doubtful                     warning: not reconciled
failed > expected + known + surplus, beyond chance          invalid
succeeded < expected - known, beyond chance, nothing cached invalid
either of them, but within chance                           warning with the number
surplus                                                     warning: another client, or an earlier run
anything else                                               valid
==========================================================  ===========================================

Here "beyond chance" means: the kind's smallest case would be invalid if all of the failures were its own.

"Invalid" applies to each valid case of the kind, except those that the MCP servers' own counts confirm exactly (calls =
sent = ok, no failure). In either case a warning of the run gives the numbers. A warning alone changes no case: the
other witnesses decide. The gateway may count an expected error as a success, so only sums show a surplus.
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
"""Kind of failure that left no row."""

WRONG_ANSWER = "wrong answer"
"""Kind of failure of a checked answer that has the expected status but unexpected content."""

UNEXPECTED_EVENT = "unexpected event"
"""Kind of failure that an engine which checks events reports itself, as status 0."""

_HOPELESS = 99.999999
"""Percentage of failures above which nothing succeeded, so nothing can be measured whatever the limit is."""

RATE_LIMIT_HINT = (
    "the gateway limits the rate: set RATE_LIMITING_ENABLED=false on it (or raise its limits), and measure again"
)


@dataclass(frozen=True)
class IterationFacts:
    """The results of one iteration: its raw document, and the number of answers per status over all its parts.

    ``problem`` says why the rows cannot be used; then ``statuses`` is empty.
    """

    raw: RawIteration
    statuses: Counter[int] = field(default_factory=Counter)
    problem: str = ""

    @property
    def checks(self) -> list[Checks]:
        """The checkers' results during the load, one per part."""
        return [part.checks for part in self.raw.parts if part.checks is not None]

    @property
    def generated(self) -> int:
        """Number of requests of the load generator."""
        return sum(part.sent for part in self.raw.parts)

    @property
    def sent(self) -> int:
        """Number of requests of the load generator and the checkers."""
        return self.generated + sum(one.sent for one in self.checks)

    def ok(self, case: PlannedCase) -> int:
        """Return the number of answers with the expected status; checked answers must also be correct."""
        return self.statuses[case.expect.status] + sum(len(one.right_s) for one in self.checks)


@dataclass(frozen=True)
class Judgement:
    """A validity with its reason in words; the reason is empty for a valid case.

    ``doubtful``: an answer failed its check, so other answers with the expected status may also be wrong.
    """

    validity: Validity
    reason: str = ""
    doubtful: bool = False


def complete(facts: Sequence[IterationFacts]) -> list[IterationFacts]:
    """Return the complete iterations; only these are counted."""
    return [one for one in facts if not one.raw.interrupted and one.raw.parts]


def errors(case: PlannedCase, facts: Sequence[IterationFacts]) -> dict[str, int]:
    """Return failed requests by kind: ``http 503``, ``transport`` (no answer), ``unexpected event``, ``wrong answer``.

    Iterations with unusable rows are left out.
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
    """Return the case's counts by clients and MCP servers over complete iterations."""
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
    """Return the first failed check before a load and the first after one; empty if there is none."""
    words = {"before": "", "after": ""}
    for raw in (one.raw for one in facts):
        which = f" (iteration {raw.iteration} of {case.iterations})" if case.iterations > 1 else ""
        for probe in raw.probes:
            when = probe.when or ("before" if _stands_before(probe, raw) else "after")
            if probe.problem and words.get(when) == "":
                words[when] = f"{when} its load{which}: {probe.problem}"
    return words["before"], words["after"]


def _refused(case: PlannedCase, facts: Sequence[IterationFacts]) -> str:
    """Return the permission that the token lacks for the case; empty if none is missing, or it was measured."""
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
        return "no answer was checked before or after its load, so nothing proves that its work was done"
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
    return f"{words}: {share:.3g} % failed, the limit is {max_error_rate:g} % (performance.max_error_rate)"


def _wrong_answers(facts: Sequence[IterationFacts], max_error_rate: float) -> str:
    """Return why the answers checked during the load invalidate the case; empty if they do not."""
    seen = wrong_answers(one.raw for one in facts)
    if not is_above(seen.wrong, seen.answers, max_error_rate):
        return ""
    return f"{seen.words}; the limit is {max_error_rate:g} % (performance.max_error_rate)"


@dataclass(frozen=True)
class WrongAnswers:
    """Number of checked answers and of wrong ones, and the first wrong one in words (secrets masked)."""

    answers: int
    wrong: int
    first: str

    @property
    def words(self) -> str:
        """The result as a sentence."""
        share = 100 * self.wrong / self.answers
        was = "was" if self.wrong == 1 else "were"
        return (
            f"{self.wrong} of {self.answers} answers checked during the load {was} wrong ({share:.3g} %, at least "
            f"{least_percent(self.wrong, self.answers):.2g} % with 99 % confidence), the first: {self.first}"
        )


def wrong_answers(iterations: Iterable[RawIteration]) -> WrongAnswers:
    """Count the answers that were checked during the load and right before or after it, including retried probes."""
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
        return f"{number} of {sent} connections started with an unexpected event"
    return f"{number} of {sent} answers were {kind.upper()}"


def _servers(case: PlannedCase, facts: Sequence[IterationFacts], max_error_rate: float) -> str:
    """Return why the simulated servers' own counts invalidate the case; empty if they do not."""
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
        return f"{counts.ok} answers came, {called}: {missing} answers did not come from it"
    if counts.server > counts.sent:
        return (
            f"{counts.sent} requests were sent, {called}: another client used it at the same time, or requests were "
            "retried after broken connections"
        )
    return ""


# ---------------------------------------------------------------------------------------------------------------------
# All cases of a kind


@dataclass(frozen=True)
class CaseFacts:
    """The facts about a case that matter for the gateway's metrics; ``explained`` is from :func:`explained`."""

    planned: PlannedCase
    judgement: Judgement
    counts: Counts
    explained: int

    @property
    def cleared(self) -> bool:
        """Whether the MCP servers' own counts confirm every single answer."""
        return self.counts.server == self.counts.sent == self.counts.ok and not self.counts.server_failed


def explained(case: PlannedCase, facts: Sequence[IterationFacts], judgement: Judgement) -> int:
    """Return how many failed or missing executions this case explains."""
    cut_short = [one for one in facts if one.raw.interrupted]
    whole = complete(facts)
    counts = count(case, whole)
    probes = sum(bool(probe.problem) for one in facts for probe in one.raw.probes)
    hidden = 0 if case.gateway_fails else counts.server_failed or 0
    if judgement.doubtful:
        # The warm-up sends at least one request per worker.
        hidden = counts.ok + max(case.warmup_requests, sum(part.concurrency for part in case.parts))
    return sum(one.sent for one in cut_short) + counts.sent - counts.ok + hidden + probes


_NOT_RECONCILED = "they cannot be reconciled with what was sent"


@dataclass(frozen=True)
class Reconciled:
    """Result of the gateway's metrics: counts by kind, changed judgements by case id, warnings of the run."""

    counts: list[GatewayCount]
    judgements: dict[str, Judgement]
    warnings: list[str]


def reconcile(raw: RawGatewayCounts, cases: Sequence[CaseFacts], max_error_rate: float) -> Reconciled:
    """Compare the gateway's own metrics with what was sent; the table is in the module's description."""
    result = Reconciled([], {}, [])
    for kind in ("tools", "resources", "prompts"):
        of_kind = [case for case in cases if case.planned.gateway_kind == kind and not case.planned.skipped]
        if not of_kind or kind not in raw.before:
            continue
        before, after = raw.before[kind], raw.after.get(kind)
        if after is None:
            result.warnings.append(f"the gateway did not report its counts of {kind} after the run: {_NOT_RECONCILED}")
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
    """Add the result of one kind's counts to ``result``."""
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
            f"not record them (DB_METRICS_RECORDING_ENABLED){late}; its counts cannot be used for this run"
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
            f"{numbers}; another client used the gateway at the same time, or earlier executions were counted late"
        )


def _are_many(failures: int, cases: Sequence[CaseFacts], max_error_rate: float) -> bool:
    """Return whether the failures would be too many for the smallest case, if all were its own (which is unknown)."""
    smallest = min((case.counts.sent for case in cases if case.counts.sent and not case.cleared), default=0)
    return is_above(failures, max(failures, smallest), max_error_rate)


def _accuse(numbers: str, problem: str, cases: Sequence[CaseFacts], result: Reconciled, *, enough: bool) -> None:
    """Invalidate every case of a kind that the MCP servers' own counts do not confirm; for a few failures only warn."""
    if not enough:
        result.warnings.append(f"{numbers}: {problem}; too few to prove that the error rate exceeds the limit")
        return
    accused = [case for case in cases if case.judgement.validity is Validity.VALID and not case.cleared]
    reason = (
        f"{numbers}: {problem}; the gateway keeps these counts per kind only, so every case of the kind is in doubt"
    )
    result.judgements.update({case.planned.id: Judgement(Validity.INVALID, reason) for case in accused})
    cleared = sum(case.judgement.validity is Validity.VALID and case.cleared for case in cases)
    kept = f"; {cleared} cases stay valid, because the MCP servers counted each of their calls" if cleared else ""
    result.warnings.append(f"{numbers}: {problem}{kept}")
