"""Change points and slides: exact, calibrated, and blind to a few wild runs. All simulations have fixed seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import ruptures
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchkit.verdict import change_points
from benchkit.verdict.change_points import MIN_RUNS, MIN_SEGMENT, find_change_points, is_line, partition, shift, slope

NOISE = 0.05


def series(seed: int, runs: int) -> change_points.Series:
    return NOISE * np.random.default_rng(seed).standard_normal(runs)


@given(st.integers(0, 10_000), st.integers(6, 60), st.floats(0.5, 30))
def test_the_partition_is_that_of_ruptures(seed, runs, cost):
    """An exact search is one whoever does it: the squared error plus penalties is as small as PELT's of ruptures."""
    chance = np.random.default_rng(seed)
    values = chance.standard_normal(runs) + 2 * (np.arange(runs) > chance.integers(1, runs))

    def total(points: list[int]) -> float:
        parts = [values[a:b] for a, b in zip([0, *points], [*points, runs], strict=True)]
        return sum(float(((part - part.mean()) ** 2).sum()) for part in parts) + cost * len(points)

    theirs = ruptures.KernelCPD(kernel="linear", min_size=MIN_SEGMENT).fit(values.reshape(-1, 1)).predict(pen=cost)
    ours = partition(values, cost)
    assert all(b - a >= MIN_SEGMENT for a, b in zip([0, *ours], [*ours, runs], strict=True))
    assert total(ours) <= total(theirs[:-1]) + 1e-9


@pytest.mark.parametrize("runs", [8, 12, 20, 30, 50, 100])
def test_stationary_noise_has_at_most_one_false_change_point_in_a_hundred_series(runs):
    found = sum(len(find_change_points(series(seed, runs))) for seed in range(500))
    assert found <= 5


@pytest.mark.parametrize("runs", [20, 50, 100])
def test_noise_with_heavy_tails_makes_few_change_points(runs):
    """Student's t with 4 degrees, and one run in twenty five times as noisy."""
    found = 0
    for seed in range(300):
        chance = np.random.default_rng(seed)
        found += bool(find_change_points(NOISE * chance.standard_t(4, runs)))
        wild = (chance.random(runs) < 0.05) * 5 * chance.standard_normal(runs)
        found += bool(find_change_points(NOISE * (chance.standard_normal(runs) + wild)))
    assert found <= 12


@pytest.mark.parametrize(
    ("runs", "after", "deviations", "of_hundred"),
    [(30, 5, 4.0, 90), (100, 10, 3.0, 90), (30, 3, 6.0, 65), (12, 5, 6.0, 80)],
)
def test_a_step_is_found_where_it_is(runs, after, deviations, of_hundred):
    found = 0
    for seed in range(100):
        values = series(seed, runs)
        values[runs - after :] += deviations * NOISE
        found += any(abs(at - (runs - after)) <= 1 for at in find_change_points(values))
    assert found >= of_hundred


def test_two_steps_are_two_change_points():
    values = series(3, 60)
    values[20:] += 0.4
    values[45:] -= 0.6
    assert find_change_points(values) == [20, 45]


def test_one_wild_run_is_no_change_point_and_few_runs_have_none():
    values = series(4, 40)
    values[20] += 3.0
    assert find_change_points(values) == []
    assert find_change_points(np.array([0.0] * 4 + [1.0] * (MIN_RUNS - 5))) == []


def test_a_series_without_any_noise_is_no_division_by_zero():
    assert find_change_points(np.zeros(20)) == []
    assert find_change_points(np.repeat([0.0, 0.2], 10)) == [10]
    assert slope(np.arange(20.0), np.zeros(20)).p_value == 1.0


@given(st.integers(0, 10_000), st.integers(3, 30), st.integers(3, 30))
def test_the_shift_is_welchs(seed, before, after):
    chance = np.random.default_rng(seed)
    first, second = chance.standard_normal(before), 0.5 + 2 * chance.standard_normal(after)
    found = shift(first, second)
    theirs = stats.ttest_ind(second, first, equal_var=False)
    interval = theirs.confidence_interval(0.95)
    assert found.p_value == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


@given(st.integers(0, 10_000), st.integers(8, 60), st.floats(-0.2, 0.2))
def test_the_slope_is_theil_sens_and_its_interval_sens(seed, runs, steep):
    positions = np.arange(float(runs))
    values = np.random.default_rng(seed).standard_normal(runs) + steep * positions
    found = slope(positions, values)
    theirs = stats.theilslopes(values, positions, 0.95)
    assert found.per_run == pytest.approx(theirs.slope)
    # The ends are ranks, which scipy rounds in its own way: next to each other among runs (runs - 1) / 2 slopes.
    width = theirs.high_slope - theirs.low_slope
    assert abs(found.low - theirs.low_slope) <= 0.2 * width
    assert abs(found.high - theirs.high_slope) <= 0.2 * width


@pytest.mark.parametrize("runs", [10, 40])
def test_mann_kendalls_p_is_kendalls_within_the_normal_approximation(runs):
    positions = np.arange(float(runs))
    for seed in range(20):
        values = np.random.default_rng(seed).standard_normal(runs).round(1) + 0.03 * positions
        theirs = stats.kendalltau(positions, values).pvalue
        assert slope(positions, values).p_value == pytest.approx(theirs, abs=0.05, rel=0.35)


def test_false_slides_are_as_rare_as_the_level_says():
    p_values = [slope(np.arange(30.0), series(seed, 30)).p_value for seed in range(2000)]
    assert sum(p <= 0.05 for p in p_values) == pytest.approx(100, abs=30)


def test_a_slide_is_a_line_and_a_step_is_none():
    positions = np.arange(60.0)
    sliding = series(5, 60) + 0.01 * positions
    stepped = series(5, 60) + 0.4 * (positions >= 30)
    assert is_line(positions, sliding, find_change_points(sliding) or [30])
    assert not is_line(positions, stepped, find_change_points(stepped))


def test_what_could_be_seen_is_what_is_seen():
    """The step that half of the time shows does, within what 200 series can tell."""
    step = change_points.visible_step(NOISE, 60, 10)
    found = 0
    for seed in range(200):
        values = series(seed, 60)
        values[50:] += step
        found += bool(find_change_points(values))
    assert 60 <= found <= 150
    assert math.isclose(change_points.visible_step(2 * NOISE, 60, 10), 2 * step)
