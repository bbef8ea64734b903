"""Read the two independent counts of executions: the gateway's own metrics, and the simulated servers' counters."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchkit import http
from benchkit.gateway.client import Gateway
from benchkit.model import CounterReading, ExecutionCount, ServerCounter

Counts = Mapping[str, ExecutionCount]
"""Number of executions by kind."""

KINDS = ("tools", "resources", "prompts", "servers")

_DEFAULT_FLUSH_S = 60.0
_DEFAULT_CACHE_S = 60.0
_LAG_MARGIN_S = 2.0
_FLUSH, _CACHE = "METRICS_BUFFER_FLUSH_INTERVAL", "METRICS_CACHE_TTL_SECONDS"

_POLL_S = 1.0

_MAX_SETTING_S = 86_400.0

_MAX_COUNT = 2**53
"""The largest integer that every JSON reader represents exactly; a larger number is no count."""

_NOTHING = ExecutionCount(succeeded=0, failed=0)

_COUNTER_TIMEOUT_S = 5.0


def gateway_counts(gateway: Gateway) -> dict[str, ExecutionCount]:
    """Return the executions by kind from ``/metrics``; kinds that the release does not count are absent.

    The counts lag behind, because the gateway writes them every METRICS_BUFFER_FLUSH_INTERVAL and caches the answer.
    They fall when a server is unregistered.

    Raises:
        UserError: the metrics are refused or fail.
    """
    data = gateway.ask("/metrics")
    counts = {kind: _count(data.get(kind)) for kind in KINDS} if isinstance(data, dict) else {}
    return {kind: count for kind, count in counts.items() if count is not None}


def lag_of(settings: Mapping[str, str]) -> float:
    """Return the delay of a gateway's counts in seconds: it buffers them, and serves ``/metrics`` from a cache.

    ``settings`` are the gateway's variables; a missing or invalid one defaults to that of 1.x, 60 s each.
    """
    return _seconds(settings, _FLUSH, _DEFAULT_FLUSH_S) + _seconds(settings, _CACHE, _DEFAULT_CACHE_S) + _LAG_MARGIN_S


@dataclass
class CountReader:
    """Reads a gateway's counts repeatedly and detects decreasing counts, which cannot be used.

    ``fell``: kinds with a reading below an earlier one: the metrics were reset, or replicas answer in turn.
    """

    ask: Callable[[], Counts]
    last: Counts = field(default_factory=dict)
    fell: set[str] = field(default_factory=set)

    def read(self) -> Counts:
        """Return the current counts.

        Raises:
            UserError: the gateway does not report them.
        """
        counts = self.ask()
        self.fell |= {kind for kind in counts if kind in self.last and _is_below(counts[kind], self.last[kind])}
        self.last = counts
        return counts


def wait_until_still(
    reader: CountReader, first: Counts, *, wait_s: float, lag_s: float, tell: Callable[[str], None]
) -> tuple[Counts, bool]:
    """Before a run, wait while counts of earlier work still arrive, for at most ``wait_s`` seconds.

    Args:
        reader: reads the gateway's counts.
        first: a recent reading. If the next one is equal, there is no wait.
        wait_s: maximum wait.
        lag_s: maximum delay of the gateway's counts; see :func:`lag_of`.
        tell: receives a line for the user if there is a wait.

    Returns:
        The last reading, and whether the counts stopped changing.
    """
    counts = reader.read()
    if counts == first:
        return counts, True
    tell(f"the gateway still counts work from before this run: waiting until that ends, {wait_s:g} s at most")
    return _poll(reader, counts, lambda _: False, wait_s=wait_s, lag_s=lag_s)


def settle(  # pylint: disable=too-many-arguments  # two readings, the work between them, two times and an output
    reader: CountReader,
    before: Counts,
    sent: Counts,
    *,
    wait_s: float,
    lag_s: float,
    tell: Callable[[str], None],
) -> tuple[Counts, bool]:
    """After a run, wait until the counts have caught up with what was sent, for ``wait_s`` seconds.

    If the gateway counts more failures than expected, wait longer: they may be another client's, and only counts that
    stopped changing show that.

    Args:
        reader: reads the gateway's counts.
        before: the counts before anything was sent.
        sent: requests sent since, by kind and expected outcome.
        wait_s: maximum wait; 0 reads once.
        lag_s: maximum delay of the gateway's counts; see :func:`lag_of`.
        tell: receives a line for the user if the wait is extended.

    Returns:
        The last reading, and whether it settled: everything sent was counted, or nothing changed for ``lag_s``.
    """

    def is_complete(counts: Counts) -> bool:
        return all(_caught_up(counts.get(kind), before.get(kind, _NOTHING), sent[kind]) for kind in sent)

    counts, settled = _poll(reader, reader.read(), is_complete, wait_s=wait_s, lag_s=lag_s)
    failing = any(_failed_more(counts.get(kind), before.get(kind, _NOTHING), sent[kind]) for kind in sent)
    if settled or not wait_s or not failing:
        return counts, settled
    longer_s = 2 * lag_s
    tell(
        f"the gateway counts more failures than were expected: waiting until its counts stand still, {longer_s:g} s at "
        "most"
    )
    return _poll(reader, counts, is_complete, wait_s=longer_s, lag_s=lag_s)


def _poll(
    reader: CountReader, counts: Counts, is_complete: Callable[[Counts], bool], *, wait_s: float, lag_s: float
) -> tuple[Counts, bool]:
    """Read until the counts are complete, have not changed for ``lag_s`` seconds, or ``wait_s`` seconds have passed."""
    started = moved = time.monotonic()
    while not is_complete(counts):
        now = time.monotonic()
        if now - moved >= lag_s:
            return counts, True
        if now - started >= wait_s:
            return counts, False
        time.sleep(min(_POLL_S, max(0.0, wait_s - (now - started))))
        newer = reader.read()
        if newer != counts:
            counts, moved = newer, time.monotonic()
    return counts, True


@dataclass(frozen=True)
class ServerCounters:
    """Reads the counters of simulated MCP servers."""

    session: http.Session = field(default_factory=http.Session)

    def read(self, counter: ServerCounter) -> CounterReading | None:
        """Return the counter's current value; ``None`` if the server does not answer with counters."""
        try:
            data = self.session.send("GET", counter.url, timeout_s=_COUNTER_TIMEOUT_S).json()
            count = data["counts"].get(counter.key, {"ok": 0, "failed": 0})
            return CounterReading(instance=str(data["instance"]), ok=int(count["ok"]), failed=int(count["failed"]))
        except (http.AnswerError, ValueError, KeyError, TypeError, AttributeError):
            return None


def _count(data: Any) -> ExecutionCount | None:
    """Return one kind's counts in camelCase, or (tools and prompts before 1.0) snake_case; ``None`` if invalid."""
    if not isinstance(data, dict):
        return None
    succeeded = data.get("successfulExecutions", data.get("successful_executions"))
    failed = data.get("failedExecutions", data.get("failed_executions"))
    if not _is_count(succeeded) or not _is_count(failed):
        return None
    return ExecutionCount(succeeded=succeeded, failed=failed)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT


def _is_below(count: ExecutionCount, other: ExecutionCount) -> bool:
    return count.succeeded < other.succeeded or count.failed < other.failed


def _caught_up(count: ExecutionCount | None, before: ExecutionCount, sent: ExecutionCount) -> bool:
    """Return whether everything that was sent is counted with the expected outcome.

    Counting failures alone is not enough: late failures of an earlier run would pass for executions yet to come.
    """
    if count is None:
        return True
    succeeded = count.succeeded - before.succeeded
    return succeeded >= sent.succeeded and succeeded + count.failed - before.failed >= sent.succeeded + sent.failed


def _failed_more(count: ExecutionCount | None, before: ExecutionCount, sent: ExecutionCount) -> bool:
    return count is not None and count.failed - before.failed > sent.failed


def _seconds(settings: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(settings.get(name, default))
    except ValueError:
        return default
    return value if 0 <= value <= _MAX_SETTING_S else default
