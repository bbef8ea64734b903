"""Tables for terminals and files: plain text in columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def text_table(rows: Iterable[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Return the lines of a table: aligned cells, two blanks between columns, nothing cut.

    The rich library is not used: its import takes a sixth of a second of CPU time, and it fits tables to the terminal's
    width.

    Args:
        rows: of equal length; the head, if any, comes first.
        right: indices of the columns that are aligned to the right.
    """
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
