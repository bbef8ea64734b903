"""Numbers as the report shows them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit import number_format


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.0, 1, "0.0"),
        (0.123456, 4, "0.123"),
        (1.2345, 2, "1.23"),
        (12.345, 1, "12.3"),
        (99.96, 1, "100.0"),
        (123.4, 1, "123"),
        (1234.5, 1, "1234"),
        (43210.9, 1, "43\u202f211"),
        (-3.21, 1, "\u22123.2"),
        (-0.04, 1, "0.0"),
    ],
)
def test_three_significant_digits(value: float, decimals: int, text: str) -> None:
    assert number_format.significant(value, decimals) == text


@given(st.floats(min_value=1e-3, max_value=1e9))
def test_a_shown_number_is_within_half_a_percent_or_its_last_decimal(value: float) -> None:
    shown = float(number_format.significant(value, 1).replace(number_format.THIN, ""))
    assert abs(shown - value) <= max(0.005 * value, 0.0500001)


def test_a_latency_is_never_shown_as_zero() -> None:
    assert number_format.metric("min_latency", 0.0) == "< 0.1"
    assert number_format.metric("p50_latency", 0.04) == "< 0.1"


def test_a_difference_may_be_zero_or_negative() -> None:
    assert number_format.metric("added_p50_latency", 0.0) == "0.0"
    assert number_format.metric("added_p50_latency", -2.5) == "\u22122.5"


@pytest.mark.parametrize(
    ("ok", "sent", "text"),
    [(300, 300, "100"), (0, 300, "0"), (299, 300, "99.66"), (999_999, 1_000_000, "99.99"), (1, 1_000_000, "< 0.01")],
)
def test_success_is_cut_and_not_rounded(ok: int, sent: int, text: str) -> None:
    assert number_format.success(ok, sent) == text


@given(st.integers(1, 10**6).flatmap(lambda sent: st.tuples(st.integers(0, sent - 1), st.just(sent))))
def test_only_a_run_without_failure_is_a_hundred_percent(numbers: tuple[int, int]) -> None:
    assert number_format.success(*numbers) != "100"


@given(st.floats(min_value=0, max_value=1))
def test_a_share_above_zero_is_not_shown_as_zero(share: float) -> None:
    assert (number_format.percent_of(share) in ("0.00", "0")) == (share == 0)
