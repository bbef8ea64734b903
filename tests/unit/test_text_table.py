"""Tables of plain text."""

from __future__ import annotations

from benchkit.text_table import text_table


def test_columns_are_aligned_and_nothing_is_cut_or_understood_as_markup() -> None:
    rows = [("name", "count", "end"), ("[red]x[/]", "7", ""), ("y" * 300, "1000", "z")]
    assert text_table(rows, right=[1]) == [
        f"name{' ' * 296}  count  end",
        f"[red]x[/]{' ' * 291}      7",
        f"{'y' * 300}   1000  z",
    ]


def test_a_table_without_rows() -> None:
    assert text_table([]) == []
