"""A load that the machine would not carry is refused before it begins."""

from __future__ import annotations

import pytest

from benchkit.limits import check_limits, shortage


@pytest.mark.parametrize(
    ("files", "processes", "words"),
    [
        (None, None, ""),
        (500, 300, ""),
        (499, None, "no more than 499 files may be open here, and a load of 200 at once needs 500: ulimit -n 4096"),
        (None, 299, "no more than 299 further processes"),
        (None, -5, "no more than 0 further processes"),
    ],
)
def test_what_is_too_little_is_said(files: int | None, processes: int | None, words: str) -> None:
    problem = shortage(200, files=files, processes=processes)
    assert problem.startswith(words)
    assert bool(problem) == bool(words)


def test_a_load_of_ten_thousand_names_the_limit_that_it_needs() -> None:
    assert "ulimit -n 20100" in shortage(10_000, files=4096, processes=None)


def test_this_machine_carries_one() -> None:
    check_limits(1)
