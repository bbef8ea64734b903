"""Sample sources that may block in their own threads, so that a hanging source does not delay the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Value = TypeVar("Value")

FRESH_S = 2.5
"""Maximum age of a current value, in seconds."""

_RETRY_S = 3.0


class Feed(Generic[Value]):
    """Reads values in a thread, and restarts after the source fails.

    Args:
        values: starts to read the source.
        tell: receives the reason of the first failure.
    """

    def __init__(self, values: Callable[[], Iterator[Value]], tell: Callable[[str], None]) -> None:
        self._values = values
        self._tell = tell
        self._told = False
        self._ended = threading.Event()
        self._latest: tuple[float, Value] | None = None

    def start(self) -> None:
        """Start the thread; it ends with the process at the latest."""
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """Stop reading values."""
        self._ended.set()

    def latest(self) -> Value | None:
        """Return the current value; ``None`` if there was none recently."""
        latest = self._latest
        return latest[1] if latest is not None and time.monotonic() - latest[0] <= FRESH_S else None

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                for value in self._values():
                    self._latest = time.monotonic(), value
                    if self._ended.is_set():
                        return
            except Exception as error:  # pylint: disable=broad-exception-caught # no sampler may fail a run
                self._fail(error)
            self._ended.wait(_RETRY_S)

    def _fail(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            self._tell(first_line(error))


class Feeds(Generic[Value]):
    """Feeds by component name. ``tell`` receives each failure with that name."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._feeds: dict[str, tuple[str, Feed[Value]]] = {}

    def begin(self, name: str, key: str, values: Callable[[], Iterator[Value]]) -> None:
        """Start to read a source; an existing feed continues unless its key has changed."""
        if name in self._feeds:
            before, feed = self._feeds[name]
            if before == key:
                return
            feed.stop()
        feed = Feed(values, lambda reason: self._tell(f"{name}: {reason}"))
        self._feeds[name] = key, feed
        feed.start()

    def latest(self) -> dict[str, Value]:
        """Return the current values of the feeds that have one."""
        values = {name: feed.latest() for name, (_, feed) in self._feeds.items()}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def stale(self) -> bool:
        """Whether any feed has no current value."""
        return len(self.latest()) < len(self._feeds)


def first_line(error: Exception) -> str:
    """Return the first line of an error, short enough for a note."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
