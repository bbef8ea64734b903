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
failures above ``max_error_rate``                                     invalid
the MCP server's counter could not be read, or began anew             invalid
the MCP server answered with errors, and the case expects none        invalid
server calls < answers, no cache, and the case expects no error       invalid
server calls < answers, a cache or an expected error explains it      valid
server calls > requests sent                                          invalid
the check of an answer after the load failed                          invalid
fewer iterations than planned                                         interrupted
anything else                                                         valid
====================================================================  ===========

A failed check after the load stands behind what the load itself shows, for that has counts; both are told. A missing
iteration stands behind the failed checks because the driver does not measure a case again whose check failed.

The gateway's own metrics are kept per kind (tools, resources, prompts), so they are held against all cases of a kind
together (:func:`reconcile`). ``known`` is how many failed or missing executions are explained by what was already seen
(:func:`explained`): requests that failed by their status or had no answer, and all requests of a case whose answers
failed their check.

========  ======================  ==========================  =============================================
settled   failed executions       succeeded executions        result for the kind
========  ======================  ==========================  =============================================
either    > expected + known      any                         invalid (counts only grow, so this stays true)
no        ≤ expected + known      any                         valid, warning: not reconciled
yes       ≤ expected + known      < expected - known,         invalid
                                  no cached case
yes       ≤ expected + known      < expected - known,         valid: the cache explains it
                                  a cached case
yes       ≤ expected + known      > expected                  valid, warning: somebody else uses the gateway
yes       ≤ expected + known      within the known            valid
========  ======================  ==========================  =============================================

"Invalid" means each valid case of the kind, but for those that the MCP servers' own counts cleared exactly (calls =
sent = ok, no failure): they stay valid. Either way a warning of the run tells the numbers. ``succeeded > expected`` is
a warning only when the gateway counts more executions in all: it may count an expected error as a success.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchkit.errors import missing_permission
from benchkit.model import (
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

UNEXPECTED_EVENT = "unexpected event"
"""Kind of the failures that ``sse_load`` reports as status 0."""

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
    def sent(self) -> int:
        """Requests that were to be sent."""
        return sum(part.sent for part in self.raw.parts)


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
    """Failed requests by kind: ``http 503``, ``transport`` (no answer at all), ``unexpected event``.

    Iterations whose rows can't be used say nothing about it.
    """
    facts = [one for one in facts if not one.problem]
    statuses = _statuses(facts)
    kinds = {
        UNEXPECTED_EVENT if status == 0 else f"http {status}": count
        for status, count in sorted(statuses.items())
        if status != case.expect.status
    }
    silent = sum(one.sent for one in facts) - statuses.total()
    return kinds | ({TRANSPORT: silent} if silent > 0 else {})


def count(case: PlannedCase, facts: Sequence[IterationFacts]) -> Counts:
    """The case's work as hey and the MCP servers counted it, over complete iterations."""
    parts = [part for one in facts for part in one.raw.parts]
    counted = bool(parts) and all(part.server_calls is not None for part in parts)
    return Counts(
        sent=sum(part.sent for part in parts),
        ok=_statuses(facts)[case.expect.status],
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
    if any(one.raw.interrupted for one in facts):
        return Judgement(Validity.INTERRUPTED, f"interrupted: {progress}")
    before, after = _probe_problems(case, facts)
    if before:
        return Judgement(Validity.INVALID, before, doubtful=True)
    seen = ""
    if measured:
        seen = _rows_problem(case, measured) or _failures(case, measured, max_error_rate) or _servers(case, measured)
    if problem := "; ".join(filter(None, (seen, after))):
        return Judgement(Validity.INVALID, problem, doubtful=bool(after))
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
            when = "before" if _stands_before(probe, raw) else "after"
            if probe.problem and not words[when]:
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
    sent = sum(one.sent for one in facts)
    rows = _statuses(facts).total()
    ended = sorted({part.exit_status for one in facts for part in one.raw.parts} - {0})
    how = f"{case.tool} ended with exit status {', '.join(map(str, ended))}" if ended else ""
    if not rows:
        hint = f"; {how}" if how else f": refused, reset or timed out after {case.timeout_s} s"
        return f"none of {sent} requests got an answer{hint}"
    if how:
        return f"{how} after {rows} of {sent} answers"
    if rows > sent:
        return f"{case.tool} left {rows} rows for {sent} requests; the files of this case are not of one run"
    return ""


def _failures(case: PlannedCase, facts: Sequence[IterationFacts], max_error_rate: float) -> str:
    kinds = errors(case, facts)
    sent = sum(one.sent for one in facts)
    share = 100 * sum(kinds.values()) / sent
    limited = kinds.get("http 429", 0)
    if not limited and share <= min(max_error_rate, _HOPELESS):
        return ""
    words = "; ".join(_failure_words(kind, number, sent, case) for kind, number in kinds.items())
    if limited:
        return f"{words}: {RATE_LIMIT_HINT}"
    return f"{words}: {share:.3g} % failed, {max_error_rate:g} % may (performance.max_error_rate)"


def _failure_words(kind: str, number: int, sent: int, case: PlannedCase) -> str:
    if kind == TRANSPORT:
        return f"{number} of {sent} requests got no answer (refused, reset or timed out after {case.timeout_s} s)"
    if kind == UNEXPECTED_EVENT:
        return f"{number} of {sent} connections began with another event than expected"
    return f"{number} of {sent} answers were {kind.upper()}"


def _servers(case: PlannedCase, facts: Sequence[IterationFacts]) -> str:
    """What the simulated servers' own counts say against the case; empty when nothing."""
    for one in facts:
        for part in one.raw.parts:
            if part.server_problem:
                return f"its calls could not be counted (iteration {one.raw.iteration}): {part.server_problem}"
    counts = count(case, facts)
    failed = sum(part.server_failures or 0 for one in facts for part in one.raw.parts)
    if failed and not case.gateway_fails:
        return f"the MCP server answered {failed} calls with an error, inside answers whose status looked right"
    if counts.server is None:
        return ""
    called = f"the MCP server was called {counts.server} times"
    if counts.server < counts.ok and not (case.cached or case.gateway_fails):
        missing = counts.ok - counts.server
        return f"hey counts {counts.ok} answers, {called}: {missing} answers are not its work"
    if counts.server > counts.sent:
        return (
            f"hey sent {counts.sent} requests, {called}: somebody else used it at the same time, or requests were "
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


@dataclass(frozen=True)
class Reconciled:
    """What the gateway's metrics say: counts by kind, judgements that change (by case id), warnings of the run."""

    counts: list[GatewayCount]
    judgements: dict[str, Judgement]
    warnings: list[str]


def reconcile(raw: RawGatewayCounts, cases: Sequence[CaseFacts]) -> Reconciled:
    """Hold the gateway's own metrics against what was sent; the table is in the module's description."""
    result = Reconciled([], {}, [])
    for kind in ("tools", "resources", "prompts"):
        of_kind = [case for case in cases if case.planned.gateway_kind == kind and not case.planned.skipped]
        if not of_kind or kind not in raw.before or kind not in raw.after:
            continue
        sent = raw.sent.get(kind, ExecutionCount(succeeded=0, failed=0))
        counted = GatewayCount(
            kind=kind,
            expected=sent.succeeded + sent.failed,
            succeeded=raw.after[kind].succeeded - raw.before[kind].succeeded,
            failed=raw.after[kind].failed - raw.before[kind].failed,
            settled=raw.settled,
            cases=[case.planned.id for case in of_kind],
        )
        result.counts.append(counted)
        _reconcile_kind(counted, sent, of_kind, result)
    return result


def _reconcile_kind(
    counted: GatewayCount, sent: ExecutionCount, cases: Sequence[CaseFacts], result: Reconciled
) -> None:
    """Add what one kind's counts say to ``result``."""
    known = sum(case.explained for case in cases)
    numbers = (
        f"the gateway counts {counted.succeeded} successful and {counted.failed} failed executions of {counted.kind}, "
        f"where {sent.succeeded} and {sent.failed} were sent"
    )
    problem = ""
    if counted.failed > sent.failed + known:
        problem = f"{counted.failed - sent.failed - known} failed without showing in the answers' status"
    elif not counted.settled:
        result.warnings.append(f"{numbers}; its counts were still moving, so they could not be reconciled")
    elif counted.succeeded < sent.succeeded - known and not any(case.planned.cached for case in cases):
        problem = f"{sent.succeeded - known - counted.succeeded} executions are missing"
    elif counted.succeeded > sent.succeeded and counted.succeeded + counted.failed > counted.expected:
        result.warnings.append(f"{numbers}; somebody else uses the gateway at the same time")
    if not problem:
        return
    accused = [case for case in cases if case.judgement.validity is Validity.VALID and not case.cleared]
    reason = (
        f"{numbers}: {problem}; the gateway keeps these counts per kind only, so every case of the kind is in doubt"
    )
    result.judgements.update({case.planned.id: Judgement(Validity.INVALID, reason) for case in accused})
    cleared = sum(case.judgement.validity is Validity.VALID and case.cleared for case in cases)
    kept = f"; {cleared} cases stay valid, for the MCP servers counted each of their calls" if cleared else ""
    result.warnings.append(f"{numbers}: {problem}{kept}")
