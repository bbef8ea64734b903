"""Read py-spy's Chrome traces, its only format that contains the time of each sample.

Events (`Trace Event Format`_, "Duration Events") open (``B``) and close (``E``) frames. py-spy writes them only when a
thread's stack changes, so the stack is constant between two event times of a thread. Idle threads must be recorded too
(``--idle``); otherwise a stack would seem to last until the thread's next work.

.. _Trace Event Format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchkit.errors import UserError
from benchkit.store import read_bytes
from benchkit.strict_json import parse_json

_MOST_BYTES = 2**30
"""Maximum size of a decompressed trace: enough for more than an hour of all threads of a gateway."""


class Frame(NamedTuple):
    """A function on a stack. ``place``: its file path from the package on, or its library; ``line`` 0: unknown."""

    function: str
    place: str
    line: int


Stack = tuple[Frame, ...]
"""Frames, outermost first."""

UNKNOWN = "(no symbol)"
"""Function name of compiled code without symbols."""


@dataclass(frozen=True)
class Slice:
    """A stack during an interval, in seconds."""

    start_s: float
    end_s: float
    stack: Stack

    @property
    def seconds(self) -> float:
        """The duration in seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True)
class Thread:
    """The slices of a thread, in order. In gaps the thread did not exist or could not be sampled."""

    name: str
    slices: list[Slice]


def read_trace(path: Path) -> list[Thread]:
    """Return the threads of a compressed trace, in seconds from the start of the trace.

    Raises:
        UserError: the file cannot be read, or is no trace of py-spy.
    """
    compressed = read_bytes(path, "file of samples")
    try:
        with gzip.open(io.BytesIO(compressed)) as stream:
            data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise UserError(f"{path}: the samples have more than {_MOST_BYTES:,} bytes, which is the most that is read")
        events = parse_json(data, most_values=_MOST_BYTES)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"{path}: the samples are damaged: {error}") from error
    try:
        return parse_trace(events)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise UserError(f"{path}: the samples are damaged: not a trace of py-spy's ({error!r})") from error


def parse_trace(events: Iterable[dict[str, Any]]) -> list[Thread]:
    """Return the threads of a trace's events."""
    by_thread: dict[int, list[dict[str, Any]]] = {}
    names: dict[int, str] = {}
    for event in events:
        if event["ph"] == "M":
            names[event["tid"]] = str(event["args"]["name"])
        else:
            by_thread.setdefault(event["tid"], []).append(event)
    frames = _Frames()
    threads = []
    for number, own in by_thread.items():
        slices, label = _slices(own, frames)
        threads.append(Thread(_thread_name(names.get(number, label)), slices))
    return threads


class _Frames:
    """Shares one object per frame, however often it is on a stack."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int], Frame] = {}

    def of(self, event: dict[str, Any]) -> Frame:
        """Return the frame that an event opens or closes."""
        arguments = event["args"]
        key = (event["name"], arguments["filename"], arguments.get("line") or 0)
        if key not in self._known:
            function, file, line = key
            known = not re.fullmatch(r"0x[0-9a-f]+", function)
            # Addresses differ between processes, so all unknown functions of a library are one frame.
            self._known[key] = Frame(function if known else UNKNOWN, short_place(file), line if known else 0)
        return self._known[key]


def _slices(events: Sequence[dict[str, Any]], frames: _Frames) -> tuple[list[Slice], str]:
    """Return a thread's slices, and its name if it has a frame for it, which some releases of py-spy put first."""
    found: list[Slice] = []
    stack: list[Frame] = []
    label = ""
    before: int | None = None
    for event in events:
        now = int(event["ts"])
        if before is not None and now > before and stack:
            found.append(Slice(before / 1e6, now / 1e6, _tidy(stack)))
        before = now
        if not event["args"]["filename"] and re.match(r"thread \(|process \d", event["name"]):
            if event["name"].startswith("thread"):
                label = event["name"]
            continue
        if event["ph"] == "B":
            stack.append(frames.of(event))
        else:
            stack.pop()
    return found, label


def _tidy(stack: Sequence[Frame]) -> Stack:
    """Merge consecutive frames without a symbol in the same library."""
    tidy: list[Frame] = []
    for frame in stack:
        if frame.function != UNKNOWN or not tidy or tidy[-1] != frame:
            tidy.append(frame)
    return tuple(tidy)


def _thread_name(label: str) -> str:
    """Return ``MainThread`` for ``thread (123): MainThread`` or ``140265: MainThread``."""
    return re.sub(r"^(thread \(\d+\)|\d+): ?", "", label) or "thread"


_PACKAGE = re.compile(r".*/(?:site-packages|dist-packages|python3\.\d+(?:t)?|Python-3[^/]*)/(.+)")
_LIBUV = re.compile(r".*/libuv[^/]*/(?:.*/)?([^/]+)")


def short_place(file: str) -> str:
    """Return a file's path from its package on, which is the same on every machine."""
    file = file.replace("\\", "/")
    for pattern, prefix in ((_LIBUV, "libuv/"), (_PACKAGE, "")):
        match = pattern.fullmatch(file)
        if match:
            return prefix + match.group(1)
    if "/" not in file:
        return file
    parts = file.split("/")
    return parts[-1] if ".so" in parts[-1] or ".dylib" in parts[-1] else "/".join(parts[-2:]).lstrip("/")


_COMPILED = re.compile(r"\.(c|cc|cpp|h|hpp|pyx|pxd|rs|S|s)$|\.so\b|\.dylib\b|^\?$")


def is_python(frame: Frame) -> bool:
    """Return whether a frame is a Python function and not compiled code."""
    return frame.line > 0 and _COMPILED.search(frame.place) is None


def moved(thread: Thread, by_s: float) -> Thread:
    """Return the thread with shifted times."""
    return Thread(thread.name, [Slice(one.start_s + by_s, one.end_s + by_s, one.stack) for one in thread.slices])


def within(slices: Iterable[Slice], start_s: float, end_s: float) -> Iterator[Slice]:
    """Yield the slices between two times, cut at both."""
    for one in slices:
        start, end = max(one.start_s, start_s), min(one.end_s, end_s)
        if end > start:
            yield Slice(start, end, one.stack)


def clipped(threads: Iterable[Thread], start_s: float, end_s: float) -> list[Thread]:
    """Return the threads between two times."""
    return [Thread(one.name, list(within(one.slices, start_s, end_s))) for one in threads]
