"""Tables for terminals and files: plain text in columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def text_table(rows: Iterable[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Lines with the cells of each row, aligned, two blanks between columns; nothing is cut.

    Not by rich: its import takes a sixth of a second of CPU time, and it fits a table to the width of a terminal.

    Args:
        rows: of the same length, the head first where there is one.
        right: the columns, from 0, that are aligned to the right.
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
