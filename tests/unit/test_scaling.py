"""Where a curve bends, and the law that it follows: what is marked, and what is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.errors import UserError
from benchkit.model import Validity
from benchkit.verdict.scaling import METRIC_SHAPES, knee, law_at, medians, scalability_law, scaling_of
from builders.documents import failed_case
from builders.studies import ordinary, scaled, usl

RISING = (1, 1)
PLACES = [1.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0]
positive = st.floats(0.5, 5000.0, allow_nan=False)


def test_a_knee_is_where_a_broken_line_breaks():
    points = [(float(x), float(min(10 * x, 250))) for x in range(5, 65, 5)]
    assert knee(points, RISING) == 25.0
    assert knee([(x, 20.0 if x <= 40 else 20 + 8 * (x - 40)) for x in range(10, 101, 10)], (1, -1)) == 40.0


@pytest.mark.parametrize("turned", [1, -1])
def test_without_a_shape_a_curve_may_fall(turned):
    held = [(x, 100.0 if x <= 40 else 100 - turned * (x - 40)) for x in range(10, 101, 10)]
    held *= 3  # measured three times, so that its noise is known
    assert knee(held, None) == 40.0


@pytest.mark.parametrize("slope", [0.0, 0.2, 10.0])
@pytest.mark.parametrize("count", [4, 6, 12])
@pytest.mark.parametrize("shape", [RISING, (1, -1), None])
def test_noise_on_a_straight_line_is_no_knee(slope, count, shape):
    """Three runs at each place with 5 % of noise: at most 2 of 100 curves get one (about 1 of 100, see ``knee``)."""
    chance = np.random.default_rng(7)
    places = np.linspace(1, 100, count)
    marked = sum(
        knee(
            [(x, (100 + slope * x) * math.exp(0.05 * chance.standard_normal())) for x in places for _ in range(3)],
            shape,
        )
        is not None
        for _ in range(200)
    )
    assert marked <= 4


@given(
    st.lists(st.tuples(st.integers(1, 3), positive), min_size=1, max_size=20), st.sampled_from([RISING, (1, -1), None])
)
def test_three_places_are_never_a_knee(points, shape):
    assert knee([(float(x), y) for x, y in points], shape) is None


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(PLACES), positive), min_size=4, max_size=30))
def test_a_knee_is_a_place_within_the_ends_and_has_no_unit(points):
    found = knee(points, None)
    inner = sorted({x for x, _ in points})[1:-1]
    assert found is None or found in inner
    assert knee([(1000 * x, 1000 * y) for x, y in points], None) == (None if found is None else 1000 * found)
    assert knee(points[::-1], None) == found


@settings(max_examples=30, deadline=None)
@given(st.floats(1.0, 500.0), st.floats(0.0, 0.5), st.floats(0.0002, 0.01))
def test_the_law_is_found_again(single, contention, coherency):
    points = [(x, law_at(single, contention, coherency, x)) for x in PLACES]
    law = scalability_law(points)
    assert law is not None
    assert law.single == pytest.approx(single, rel=0.02)
    assert law.contention == pytest.approx(contention, abs=0.01)
    assert law.coherency == pytest.approx(coherency, rel=0.1, abs=1e-5)
    peak = math.sqrt((1 - contention) / coherency)
    assert law.peak_at == pytest.approx(peak, rel=0.05)


def test_a_peak_beyond_what_was_measured_is_not_told():
    law = scalability_law([(x, law_at(20, 0.02, 1e-6, x)) for x in PLACES])
    assert law is not None
    assert (law.peak_at, law.peak) == (None, None)


@pytest.mark.parametrize(
    "points",
    [
        [(1.0, 10.0), (2.0, 20.0), (4.0, 40.0)],
        [(1.0, 10.0), (2.0, 90.0), (4.0, 5.0), (8.0, 200.0)],
        [(0.5, 10.0), (2.0, 20.0), (4.0, 40.0), (8.0, 80.0)],
        [(1.0, 10.0), (2.0, 0.0), (4.0, 40.0), (8.0, 80.0)],
    ],
    ids=["few", "no such curve", "below one worker", "zero"],
)
def test_a_law_that_does_not_describe_the_data_is_not_told(points):
    assert scalability_law(points) is None


def test_a_study_has_each_run_its_median_and_its_knee():
    study = scaling_of(scaled([1, 5, 10, 20, 50, 100, 200], repeats=3, noise=0.03))
    assert (study.varied, study.places, study.runs) == ("concurrency", [1, 5, 10, 20, 50, 100, 200], 21)
    rate, tail = study.cases[0].curves
    assert [curve.metric for curve in (rate, tail)] == list(METRIC_SHAPES)
    assert (len(rate.points), len(rate.medians)) == (21, 7)
    assert rate.knee in (20.0, 50.0)
    assert rate.law is not None
    assert rate.law.peak == pytest.approx(max(map(usl, range(1, 200))), rel=0.05)
    straight = study.cases[1].curves[0]
    assert (straight.knee, straight.remark) == (None, "no knee within what was measured")
    assert tail.law is None


def test_few_places_say_how_many_are_needed():
    study = scaling_of(scaled([10, 20, 50]))
    assert study.cases[0].curves[0].remark == "3 points, 4 are needed for a knee"
    assert study.cases[0].curves[0].law is None


def test_servers_are_varied_too_and_follow_no_law_of_workers():
    study = scaling_of(scaled([1, 2, 4, 8], servers=True, rate=lambda x: 50 - 2 * x))
    assert (study.varied, study.places) == ("servers", [1, 2, 4, 8])
    assert all(curve.law is None for case in study.cases for curve in case.curves)


def test_an_invalid_case_is_told_and_never_a_point():
    runs = scaled([1, 5, 10, 20])
    broken = failed_case("tools/list_limit_50", "Tool not found")
    runs[2] = runs[2].model_copy(update={"cases": [broken, *runs[2].cases[1:]]})
    case = scaling_of(runs).cases[0]
    assert case.left_out == ["concurrency 10: invalid: Tool not found"]
    assert [x for x, _ in case.curves[0].points] == [1.0, 5.0, 20.0]
    hidden = runs[2].cases[1].model_copy(update={"validity": Validity.INVALID})
    runs[2] = runs[2].model_copy(update={"cases": [broken, hidden]})
    assert [x for x, _ in scaling_of(runs).cases[1].curves[0].points] == [1.0, 5.0, 20.0]


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([ordinary(1), ordinary(2)], "the 2 runs differ in neither: servers 4 and concurrency 10;"),
        ([*scaled([10, 20]), *scaled([2, 4], servers=True)], "differ in both: servers 2, 4 and concurrency 10, 20;"),
    ],
)
def test_runs_that_differ_in_neither_or_both_are_refused(runs, words):
    with pytest.raises(UserError, match=words):
        scaling_of(runs)


def test_medians_are_one_for_each_place_from_left_to_right():
    assert medians([(2.0, 5.0), (1.0, 1.0), (2.0, 7.0), (2.0, 100.0)]) == [(1.0, 1.0), (2.0, 7.0)]


def test_throughput_that_falls_from_the_first_place_on_has_no_knee() -> None:
    assert knee([(1, 112), (2, 91), (5, 100), (10, 89), (20, 66), (40, 71)], (1, 1)) is None
    assert knee([(1, 20), (2, 40), (5, 95), (10, 100), (20, 98), (40, 99)], (1, 1)) == 5
