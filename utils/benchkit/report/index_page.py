"""The list of all runs, the newest first.

The newest rows are a table of the page, so that they are there without JavaScript. The others are in the page as
compact JSON, some 80 bytes each, and become rows when they are asked for: ten thousand runs are one file of less than a
megabyte that is replaced in one step, and no run is on a page that nobody renewed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from benchkit import number_format
from benchkit.clock import duration
from benchkit.model import Tone
from benchkit.report.render import PARTS, fill

SHOWN = 200
"""Rows of the table; the others are asked for."""


@dataclass(frozen=True)
class IndexRow:  # pylint: disable=too-many-instance-attributes  # a line has as many cells
    """One run, or one group of runs. ``valid`` of ``measured`` cases; ``report``: a file of its directory, or empty.

    ``measured``, ``seconds`` and ``exit_code`` are absent (``None``) while it goes on.
    """

    name: str
    report: str
    started: datetime
    profile: str
    kind: str
    release: str
    word: str
    tone: Tone
    valid: int
    measured: int | None
    sent: int
    seconds: float | None
    exit_code: int | None


@dataclass(frozen=True)
class Damaged:
    """A directory that cannot be read, and why."""

    name: str
    problem: str


def index_page(rows: Sequence[IndexRow], damaged: Sequence[Damaged]) -> str:
    """The HTML; raises :class:`~benchkit.errors.UserError` as :func:`benchkit.report.render.fill`.

    Args:
        rows: all runs, in any order.
        damaged: what cannot be read.
    """
    newest = sorted(rows, key=lambda row: (row.started, row.name), reverse=True)
    context = {
        "rows": [_shown(row) for row in newest[:SHOWN]],
        "total": len(newest),
        "total_words": number_format.count(len(newest)),
        "damaged": damaged,
    }
    return fill(
        PARTS / "index.html", context, older_data(newest[SHOWN:]), ["index.js", "tools.js"], None, styles=["tools.css"]
    )


def older_data(rows: Sequence[IndexRow]) -> dict[str, Any]:
    """What the page's script makes rows of: ``words``, which many rows share, and ``rows`` that name them by place."""
    words: dict[str, int] = {}

    def place(text: str) -> int:
        return words.setdefault(text, len(words))

    compact = [
        [
            row.name,
            place(row.report),
            when(row.started),
            place(row.profile),
            place(row.kind),
            place(row.release),
            place(row.word),
            place(row.tone),
            row.valid,
            row.measured,
            row.sent,
            _seconds(row),
            row.exit_code,
        ]
        for row in rows
    ]
    return {"words": list(words), "rows": compact}


def when(moment: datetime) -> str:
    """Local time, as it stands in the names of the directories: ``2026-03-02 09:30``."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _seconds(row: IndexRow) -> float | None:
    """How long it took, as exact as it is shown: what the page and its script make of it must not differ."""
    return None if row.seconds is None else round(row.seconds, 2)


def _shown(row: IndexRow) -> dict[str, Any]:
    """A row as the template shows it: plain values for sorting, and their texts."""
    return {
        "row": row,
        "when": when(row.started),
        "valid": number_format.ABSENT if row.measured is None else f"{row.valid} of {row.measured}",
        "sent": number_format.count(row.sent) if row.sent else number_format.ABSENT,
        "took": number_format.ABSENT if (took := _seconds(row)) is None else duration(took),
        "seconds": "" if took is None else took,
        "exit": number_format.ABSENT if row.exit_code is None else str(row.exit_code),
    }
