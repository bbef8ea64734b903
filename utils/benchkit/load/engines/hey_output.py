"""Read hey's output: the rows of ``-o csv``, and the text summary.

The formats are those of hey 0.1.4 (``requester/print.go`` in its source). A row is six times ``%4.4f`` seconds, the
status as ``%d``, and the request's offset from hey's start as ``%4.4f`` seconds; so all times are multiples of 0.1 ms.
Rows come in the order of completion. A request without an answer (refused, reset, timed out) has no row.

A file that was written by another system's shell may be UTF-16, begin with a byte order mark or blank lines, and end
its lines with CR LF; this is accepted. Older releases print six columns without status and offset; they are rejected.
"""

from __future__ import annotations

import codecs
import io
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import UserError, os_reason
from benchkit.load import metrics
from benchkit.load.rows import Rows

Integers = NDArray[np.int64]

HEADER = b"response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n"
_OLD_HEADER = HEADER.replace(b",status-code,offset", b"")
_OLD = "rows of an old hey, without status and offset"
_CLOCK_SET = "the clock was set while hey ran: measure again"

MAX_ROWS = 1_000_000
"""hey keeps at most this many results, so a file with this many has probably lost some."""

_ROW = re.compile(rb"(?:[0-9]{1,9}\.[0-9]{4},){6}[0-9]{1,3},[0-9]{1,9}\.[0-9]{4}")
_SIGNED_ROW = re.compile(rb"(?:-?[0-9]{1,9}\.[0-9]{4},){6}[0-9]{1,3},-?[0-9]{1,9}\.[0-9]{4}")
_DECIMALS = 4
# The same as _ROW: the separators of a row's fields, and the number of digits allowed before each.
_MARKS = np.frombuffer(b".,.,.,.,.,.,,.\n", np.uint8)
_MIN_DIGITS = np.array([1, _DECIMALS] * 6 + [1] + [1, _DECIMALS])
_MAX_DIGITS = np.array([9, _DECIMALS] * 6 + [3] + [9, _DECIMALS])
_STATUS_END = 12
_MIN_ROW_BYTES = int(_MIN_DIGITS.sum()) + len(_MARKS)
_TICKS_PER_SECOND = 10**_DECIMALS
_TICKS_PER_MS = 10

# Large enough to make numpy's overhead per call negligible, small enough to keep a block's arrays in the CPU cache.
_BLOCK_BYTES = 1 << 17


@dataclass(frozen=True)
class Summary:  # pylint: disable=too-many-instance-attributes  # as many as hey prints
    """hey's text summary. Times are in seconds; values that hey did not know are ``None`` or missing.

    ``hey_requests_per_sec`` is hey's own value, which includes failed requests, so it is not a throughput.
    ``percentiles`` maps 10 … 99 to seconds, without the false zeros that hey prints below 100 samples. ``statuses``
    maps an HTTP status to its number of answers, ``errors`` an error message of hey's to its number of occurrences.
    """

    total_s: float
    slowest_s: float | None
    fastest_s: float | None
    average_s: float | None
    hey_requests_per_sec: float
    percentiles: dict[int, float] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)


def read(path: Path) -> Rows | Summary:
    """Read an output of hey in either format.

    An empty file has no rows: hey leaves it when it is killed.

    Raises:
        UserError: the file cannot be read, is in neither format, has a damaged row, or as many rows as hey can keep.
    """
    try:
        with path.open("rb") as stream:
            first = stream.readline(len(HEADER))
            if first in (b"", HEADER):
                return _read_rows(path, stream)
            data = _plain(first + stream.read())
    except OSError as error:
        raise UserError(f"{path}: hey's output cannot be read: {os_reason(error)}") from error
    table = data.lstrip(b"\n")
    header, rows = table[: len(HEADER)], table[len(HEADER) :]
    if header in (b"", HEADER):
        return _read_rows(path, io.BytesIO(rows))
    if table.startswith(_OLD_HEADER):
        raise UserError(f"{path}: line 1: {_OLD}: hey 0.1.4 or newer is needed (make setup)")
    return parse_summary(data.decode("utf-8", "replace"), str(path))


def problem_of_header(data: bytes) -> str:
    """Return why the first lines of a program's rows cannot be parsed; empty if they can."""
    plain = _plain(data).lstrip(b"\n")
    if plain.startswith(HEADER):
        return ""
    return f"it writes {_OLD}" if plain.startswith(_OLD_HEADER) else "it does not write hey's rows"


def read_rows(path: Path) -> Rows:
    """Read the rows of ``hey -o csv``; see :func:`read`.

    Raises:
        UserError: as :func:`read`; also when the file holds hey's text summary.
    """
    output = read(path)
    if isinstance(output, Summary):
        raise UserError(f"{path}: line 1: hey's text summary, where rows are needed: run hey with -o csv")
    return output


def _plain(data: bytes) -> bytes:
    """Convert a text to the form that hey writes: UTF-8 without a byte order mark, lines that end with LF."""
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if data.startswith(mark):
            data = data[len(mark) :].decode(encoding, "replace").encode()
    return data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n")


# ---------------------------------------------------------------------------------------------------------------------
# Rows


def _read_rows(path: Path, stream: BinaryIO) -> Rows:
    """Read the rows after the header."""
    # Allocate for the maximum number of rows. Unused pages are never touched, so they cost no memory.
    at = stream.tell()
    room = (stream.seek(0, os.SEEK_END) - at) // _MIN_ROW_BYTES + 1
    stream.seek(at)
    rows = Rows(np.empty(room), np.empty(room, np.int16), np.empty(room))
    count = 0
    rest = b""
    while data := stream.read(_BLOCK_BYTES):
        data = rest + data
        end = data.rfind(b"\n") + 1
        rest = data[end:]
        if len(rest) >= _BLOCK_BYTES:
            raise _damaged(path, count, rest)
        if end:
            count = _add_block(rows, count, data[:end], path)
    if rest:
        # The last line may be complete without its newline; a truncated line fails the check.
        count = _add_block(rows, count, rest + b"\n", path)
    return Rows(rows.latency_ms[:count], rows.status[:count], rows.offset_s[:count])


def _add_block(rows: Rows, count: int, data: bytes, path: Path) -> int:
    """Parse whole lines, append them after the first ``count`` rows, and return the new number of rows."""
    block = _parse_block(data)
    if block is None:
        raise _damaged(path, count, data)
    response, status, offset = block
    end = count + len(status)
    if end >= MAX_ROWS:
        raise UserError(
            f"{path}: line {MAX_ROWS + 1}: hey keeps at most {MAX_ROWS:,} results, so some may be missing: use fewer "
            "requests per iteration and more iterations"
        )
    rows.latency_ms[count:end] = response / _TICKS_PER_MS
    rows.status[count:end] = status
    rows.offset_s[count:end] = offset / _TICKS_PER_SECOND
    return end


def _parse_block(data: bytes) -> tuple[Integers, Integers, Integers] | None:
    """Return response time in 0.1 ms, status and offset in 0.1 ms of each line; ``None`` if a line is damaged.

    The whole block is checked at once: the separators between the digits, and the number of digits before each
    separator. This is as strict as a pattern per line, and many times faster.
    """
    text = np.frombuffer(data, np.uint8)
    # Unsigned, so characters before "0" wrap around to a large number.
    marks = np.flatnonzero(text - np.uint8(ord("0")) > 9)
    rows = len(marks) // len(_MARKS)
    if len(marks) != rows * len(_MARKS):
        return None
    places = marks.reshape(rows, len(_MARKS))
    if not (text[places] == _MARKS).all():
        return None
    digits = np.diff(marks, prepend=-1).reshape(rows, len(_MARKS)) - 1
    if (digits.min(axis=0) < _MIN_DIGITS).any() or (digits.max(axis=0) > _MAX_DIGITS).any():
        return None
    starts = places - digits
    return (
        _number(text, starts[:, 0], places[:, 0]) * _TICKS_PER_SECOND + _decimals(text, places[:, 1]),
        _number(text, starts[:, _STATUS_END], places[:, _STATUS_END]),
        _number(text, starts[:, -2], places[:, -2]) * _TICKS_PER_SECOND + _decimals(text, places[:, -1]),
    )


def _number(text: NDArray[np.uint8], starts: Integers, ends: Integers) -> Integers:
    """Return the integers with the digits ``text[start:end]``, one per pair."""
    values = np.zeros(len(starts), np.int64)
    for place in range(int((ends - starts).max()), 0, -1):
        at = ends - place
        values = values * 10 + np.where(at >= starts, text[at] - ord("0"), 0)
    return values


def _decimals(text: NDArray[np.uint8], ends: Integers) -> Integers:
    """Return the integers of the four digits before each end."""
    values = np.zeros(len(ends), np.int64)
    for place in range(_DECIMALS, 0, -1):
        values = values * 10 + (text[ends - place] - ord("0"))
    return values


def _damaged(path: Path, rows_before: int, data: bytes) -> UserError:
    """Return the error for the first damaged line of a block that starts ``rows_before`` rows after the header."""
    lines = data.removesuffix(b"\n").split(b"\n")
    index = next(index for index, line in enumerate(lines) if _ROW.fullmatch(line) is None)
    where, shown = f"{path}: line {rows_before + index + 2}", lines[index][:40].decode("latin-1")
    if _SIGNED_ROW.fullmatch(lines[index]):
        return UserError(f"{where}: a time below zero ({shown!r}): {_CLOCK_SET}")
    return UserError(
        f"{where}: not a row of hey's ({shown!r}); the file is damaged (was the disk full?): measure again"
    )


# ---------------------------------------------------------------------------------------------------------------------
# Summary

_SECONDS = re.compile(r"^  (Total|Slowest|Fastest|Average):\s+(NaN|[0-9.]+) secs$", re.MULTILINE)
_RATE = re.compile(r"^  Requests/sec:\s+([0-9.]+)$", re.MULTILINE)
_NEGATIVE = re.compile(
    r"^  (?:Total|Slowest|Fastest|Average|Requests/sec):\s+-[0-9.]+|^  [0-9]+%+ in -[0-9.]+", re.MULTILINE
)
_PERCENTILE = re.compile(r"^  ([0-9]+)%+ in ([0-9.]+) secs$", re.MULTILINE)
_STATUS_COUNT = re.compile(r"^  \[([0-9]+)\]\t([0-9]+) responses$", re.MULTILINE)
_ERROR_COUNT = re.compile(r"^  \[([0-9]+)\]\t(.*)$", re.MULTILINE)


def parse_summary(text: str, where: str) -> Summary:
    """Parse hey's text summary; ``where`` names it in an error.

    Raises:
        UserError: it is not hey's summary, was cut short before its status codes, or has a time below zero.
    """
    head, status_title, tail = text.partition("\nStatus code distribution:\n")
    if text.lstrip().startswith("Summary:") and (negative := _NEGATIVE.search(head)):
        line = head.count("\n", 0, negative.start()) + 1
        raise UserError(f"{where}: line {line}: a time below zero ({' '.join(negative[0].split())}): {_CLOCK_SET}")
    seconds = dict(_SECONDS.findall(head))
    rate = _RATE.search(head)
    if not text.lstrip().startswith("Summary:") or "Total" not in seconds or rate is None:
        raise UserError(f"{where}: line 1: neither the header of hey -o csv nor hey's summary")
    if not status_title:
        raise UserError(f"{where}: line {text.count(chr(10)) + 1}: hey's summary ends before its status codes")
    statuses, _, errors = tail.partition("\nError distribution:\n")
    answered = _STATUS_COUNT.findall(statuses)
    percentiles = [(int(percent), float(value)) for percent, value in _PERCENTILE.findall(head)]
    return Summary(
        total_s=float(seconds["Total"]),
        slowest_s=_measured(seconds.get("Slowest"), answered=bool(answered)),
        fastest_s=_measured(seconds.get("Fastest"), answered=bool(answered)),
        average_s=_measured(seconds.get("Average"), answered=bool(answered)),
        hey_requests_per_sec=float(rate.group(1)),
        percentiles={percent: value for percent, value in percentiles if percent > 0},
        statuses={int(status): int(count) for status, count in answered},
        errors={message: int(count) for count, message in _ERROR_COUNT.findall(errors)},
    )


def _measured(value: str | None, *, answered: bool) -> float | None:
    """Return a time of the summary; without any answer hey prints ``NaN`` or a meaningless zero."""
    return float(value) if answered and value not in (None, "NaN") else None


# ---------------------------------------------------------------------------------------------------------------------
# In words


def described(output: Rows | Summary) -> str:
    """Describe one output of hey, in milliseconds; hey's own rate is labelled as such, because it is no throughput."""
    if isinstance(output, Rows):
        percentiles = metrics.percentiles(output.latency_ms)
        statuses: dict[int, int] = output.statuses()
        lines = [f"rows: {len(output)} (a request without an answer has none; all statuses are in the latencies)"]
    else:
        percentiles = {percent: 1000 * value for percent, value in output.percentiles.items()}
        statuses = output.statuses
        lines = [
            f"total: {output.total_s} s",
            f"hey's own Requests/sec, failures included: {output.hey_requests_per_sec}",
        ]
    lines += [f"p{percent}: {value:.1f} ms" for percent, value in percentiles.items()]
    lines += [f"status {status}: {number}" for status, number in sorted(statuses.items())]
    if isinstance(output, Summary):
        lines += [f"error: {number} times {message}" for message, number in output.errors.items()]
    return "\n".join(lines) + "\n"
