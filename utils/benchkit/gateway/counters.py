"""Who counted the work: the gateway's own metrics, and the simulated MCP servers' counters."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchkit import http
from benchkit.gateway.client import Gateway
from benchkit.model import CounterReading, ExecutionCount, ServerCounter

KINDS = ("tools", "resources", "prompts", "servers")

OWN_LAG_S = 8.0
"""How late the toolkit's own gateway may count: it writes every 5 s, and answers from a cache of 1 s."""

DEFAULT_LAG_S = 125.0
"""The same for a gateway with the defaults of 1.x: it writes every 60 s, and answers from a cache of 60 s."""

_POLL_S = 1.0

_COUNTER_TIMEOUT_S = 5.0


def gateway_counts(gateway: Gateway) -> dict[str, ExecutionCount]:
    """Executions by kind, as ``/metrics`` tells them; a kind that the release does not count is absent.

    They lag behind (the gateway writes them every METRICS_BUFFER_FLUSH_INTERVAL and caches the answer), and they fall
    when a server is unregistered.

    Raises:
        UserError: the metrics are refused or fail.
    """
    data = gateway.ask("/metrics")
    counts = {kind: _count(data.get(kind)) for kind in KINDS} if isinstance(data, dict) else {}
    return {kind: count for kind, count in counts.items() if count is not None}


def settle(
    read: Callable[[], dict[str, ExecutionCount]],
    before: Mapping[str, ExecutionCount],
    sent: Mapping[str, ExecutionCount],
    *,
    wait_s: float,
    lag_s: float,
) -> tuple[dict[str, ExecutionCount], bool]:
    """Read the gateway's counts until they have caught up with what was sent, for ``wait_s`` seconds at most.

    Args:
        read: usually :func:`gateway_counts` of a gateway.
        before: the counts before anything was sent.
        sent: what was sent since, by kind.
        wait_s: the bound; 0 reads once.
        lag_s: how late the gateway may count, :data:`OWN_LAG_S` or :data:`DEFAULT_LAG_S`.

    Returns:
        The last reading, and whether it had settled: everything sent was counted, or nothing moved for ``lag_s``.
    """
    started = moved = time.monotonic()
    counts = read()
    while True:
        if all(_caught_up(counts.get(kind), before.get(kind), sent[kind]) for kind in sent):
            return counts, True
        now = time.monotonic()
        if now - moved >= lag_s:
            return counts, True
        if now - started >= wait_s:
            return counts, False
        time.sleep(min(_POLL_S, max(0.0, wait_s - (now - started))))
        newer = read()
        if newer != counts:
            counts, moved = newer, time.monotonic()


@dataclass(frozen=True)
class ServerCounters:
    """Reads the counters of simulated MCP servers."""

    session: http.Session = field(default_factory=http.Session)

    def read(self, counter: ServerCounter) -> CounterReading | None:
        """The counter's present value; ``None`` when the server does not answer with counters."""
        try:
            data = self.session.send("GET", counter.url, timeout_s=_COUNTER_TIMEOUT_S).json()
            count = data["counts"].get(counter.key, {"ok": 0, "failed": 0})
            return CounterReading(instance=str(data["instance"]), ok=int(count["ok"]), failed=int(count["failed"]))
        except (http.AnswerError, ValueError, KeyError, TypeError, AttributeError):
            return None


def _count(data: Any) -> ExecutionCount | None:
    """One kind's counts: camelCase, or (tools and prompts before 1.0) snake_case."""
    if not isinstance(data, dict):
        return None
    succeeded = data.get("successfulExecutions", data.get("successful_executions"))
    failed = data.get("failedExecutions", data.get("failed_executions"))
    if not isinstance(succeeded, int) or not isinstance(failed, int):
        return None
    return ExecutionCount(succeeded=succeeded, failed=failed)


def _caught_up(count: ExecutionCount | None, before: ExecutionCount | None, sent: ExecutionCount) -> bool:
    if count is None:
        return True
    start = before.succeeded + before.failed if before else 0
    return count.succeeded + count.failed - start >= sent.succeeded + sent.failed
