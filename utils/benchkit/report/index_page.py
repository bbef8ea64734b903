"""The list of all runs, the newest first.

The newest rows are an HTML table, so they work without JavaScript. The others are embedded as compact JSON of their
texts, some 100 bytes each, and become rows on demand. So ten thousand runs are one file of about a megabyte, which is
replaced in one step; with several pages, one could be out of date.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from benchkit import number_format
from benchkit.clock import duration
from benchkit.model import Tone
from benchkit.number_format import ABSENT
from benchkit.report.chart_library import ChartLibrary
from benchkit.report.charts import Plots
from benchkit.report.frame import Frame, fill_page

SHOWN = 200
"""Rows of the HTML table; the others are added on demand."""


Look = Literal["name", "badge", "moment", "text", "figure"]
COLUMNS: tuple[tuple[str, Look], ...] = (
    ("Run", "name"),
    ("Verdict", "badge"),
    ("Started", "moment"),
    ("Profile", "text"),
    ("Kind", "text"),
    ("Release", "text"),
    ("valid cases", "figure"),
    ("requests", "figure"),
    ("took", "figure"),
    ("exit", "figure"),
)
"""The heading of each column, and how its cells are formatted."""


class _Cell(NamedTuple):
    """A cell: its text, and a third value by type: a name's report file, a badge's tone, a number's sort key."""

    text: str
    more: str | float | None = None


@dataclass(frozen=True)
class IndexRow:  # pylint: disable=too-many-instance-attributes  # one for each cell
    """One run, or one group of runs. ``valid`` of ``measured`` cases; ``report``: a file in its directory, or empty.

    ``measured``, ``seconds`` and ``exit_code`` are ``None`` while it is running.
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
    """A directory that cannot be read, and the reason."""

    name: str
    problem: str


def index_page(rows: Sequence[IndexRow], damaged: Sequence[Damaged]) -> str:
    """Return the HTML; raises :class:`~benchkit.errors.UserError` as :func:`benchkit.report.frame.fill_page`.

    Args:
        rows: all runs, in any order.
        damaged: the directories that cannot be read.
    """
    newest = sorted(rows, key=lambda row: (row.started, row.name), reverse=True)
    total = number_format.count(len(newest))
    frame = Frame(
        "All runs", "MCP Gateway benchmark", f"{total} run{'' if len(newest) == 1 else 's'}, the newest first"
    )
    context = {
        "columns": COLUMNS,
        "rows": [_cells(row) for row in newest[:SHOWN]],
        "total": total,
        "damaged": damaged,
    }
    data = {"total": total, **_older(newest[SHOWN:])}
    return fill_page("index.html", frame, context, Plots(ChartLibrary()), data=data, scripts=["index.js"])


def _older(rows: Sequence[IndexRow]) -> dict[str, Any]:
    """Return the data from which the page's script makes rows.

    ``looks``: the format of each column. ``rows``: the cells of each row as one flat list, each text followed by its
    extra value. A text that several cells share is stored in ``words``, and the cells hold its index.
    """
    looks = [look for _, look in COLUMNS]
    table = [_cells(row) for row in rows]
    counted = Counter(text for cells in table for cell in cells for text in cell if isinstance(text, str))
    words = {text: place for place, text in enumerate(text for text, number in counted.items() if number > 1)}

    def shortened(look: Look, cell: _Cell) -> list[str | float | None]:
        text = words.get(cell.text, cell.text)
        if look == "figure":
            return [text, cell.more]
        return [text] if look in ("text", "moment") else [text, words.get(str(cell.more), cell.more)]

    compact = [
        [one for look, cell in zip(looks, cells, strict=True) for one in shortened(look, cell)] for cells in table
    ]
    return {"words": list(words), "looks": looks, "older": compact}


def when(moment: datetime) -> str:
    """Format as local time, like the names of the directories: ``2026-03-02 09:30``."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _cells(row: IndexRow) -> list[_Cell]:
    """Return the cells of a row, by column."""
    took = None if row.seconds is None else round(row.seconds, 2)
    return [
        _Cell(row.name, row.report),
        _Cell(row.word, row.tone.value),
        _Cell(when(row.started)),
        _Cell(row.profile),
        _Cell(row.kind),
        _Cell(row.release),
        _Cell(ABSENT if row.measured is None else f"{row.valid} of {row.measured}", row.valid),
        _Cell(number_format.count(row.sent) if row.sent else ABSENT, row.sent),
        _Cell(ABSENT if took is None else duration(took), took),
        _Cell(ABSENT if row.exit_code is None else str(row.exit_code), row.exit_code),
    ]
