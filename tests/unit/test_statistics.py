"""The statistics of a verdict: laws that hold for any figures, and simulations with fixed seeds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from benchkit.verdict import statistics
from benchkit.verdict.statistics import Prior

logs = st.floats(-5, 5).map(lambda value: round(value, 6))
several = st.lists(logs, min_size=2, max_size=10)
priors = st.builds(Prior, st.floats(0.005, 0.5), st.floats(1, 50))
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=40)


# ---------------------------------------------------------------------------------------------------------------------
# Stored baseline


@given(logs, several, priors, logs)
def test_only_differences_count(current, references, prior, shift):
    """Logarithms: a shift is another unit of the metric."""
    one = statistics.stored(current, references, prior)
    other = statistics.stored(current + shift, [value + shift for value in references], prior)
    assert other.effect == pytest.approx(one.effect, abs=1e-9)
    assert other.deviation == pytest.approx(one.deviation, abs=1e-9)
    assert other.p == pytest.approx(one.p, abs=1e-6)


@given(logs, several, priors, st.floats(-0.5, 0.5))
def test_better_and_worse_are_mirror_images(current, references, prior, machine):
    one = statistics.stored(current, references, prior, machine=machine)
    other = statistics.stored(-current, [-value for value in references], prior, machine=-machine)
    assert other.p == pytest.approx(one.p, abs=1e-9)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), abs=1e-9)
    assert other.nearest == pytest.approx(-one.nearest, abs=1e-9)


@given(st.floats(0, 3), st.floats(0.01, 3), several, priors)
def test_a_larger_effect_has_a_smaller_p(effect, more, references, prior):
    mean = float(np.mean(references))
    near, far = (statistics.stored(mean + value, references, prior) for value in (effect, effect + more))
    assert far.p <= near.p


def test_the_prediction_interval_of_a_textbook():
    """Without a prior worth anything: t = (x - mean) / (s * sqrt(1 + 1/m)), m - 1 degrees of freedom."""
    values = [4.9, 5.1, 5.0, 5.3, 4.7]
    estimate = statistics.stored(6.0, values, Prior(0.1, 1e-9))
    error = np.std(values, ddof=1) * math.sqrt(1 + 1 / 5)
    assert estimate.p == pytest.approx(2 * stats.t.sf(1.0 / error, 4), rel=1e-6)
    assert estimate.high - estimate.effect == pytest.approx(stats.t.ppf(0.975, 4) * error, rel=1e-6)


def test_two_runs_that_agree_by_chance_are_not_sure():
    estimate = statistics.stored(0.1, [0.0, 0.0001], Prior(0.08, 8.0))
    assert estimate.deviation == pytest.approx(0.08 * math.sqrt(8 / 9), rel=1e-3)
    assert estimate.p > 0.2


def test_one_run_has_the_noise_of_the_prior():
    estimate = statistics.stored(0.1, [0.0], Prior(0.08, 8.0))
    assert (estimate.deviation, estimate.degrees, estimate.samples) == (0.08, 8.0, 1)


@given(several, st.floats(0, 0.3))
def test_the_deviation_has_a_floor(references, floor):
    estimate = statistics.stored(0.0, references, Prior(0.0, 5.0), floor=floor)
    assert estimate.deviation >= max(floor, statistics.SMALLEST_NOISE)


@given(logs, several, priors, st.floats(-1, 1))
def test_the_machine_makes_nothing_surer(current, references, prior, machine):
    without = statistics.stored(current, references, prior)
    with_machine = statistics.stored(current, references, prior, machine=machine)
    assert with_machine.p >= without.p
    assert with_machine.low <= without.low + 1e-12
    assert with_machine.high >= without.high - 1e-12
    assert abs(with_machine.nearest) <= abs(without.effect) + 1e-12


def among(noise: Prior, *, shift: float = 0.0, spread: float = 0.0) -> statistics.Among:
    nothing = statistics.Apart(np.empty(0), np.empty(0), np.empty(0))
    return statistics.Among(statistics.Moment(shift, spread, 1, nothing), noise)


@given(logs, several, priors, st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 1))
def test_what_all_cases_share_makes_no_case_surer(current, references, prior, machine, shift, spread):
    known = statistics.stored(current, references, prior, machine=machine, among=among(prior))
    case = among(prior, shift=shift, spread=spread)
    found = statistics.stored(current, references, prior, machine=machine, among=case)
    assert found.p >= known.p
    assert abs(found.nearest) <= abs(known.nearest) + 1e-12
    assert found.low <= known.low + 1e-12
    assert found.high >= known.high - 1e-12
    assert found.deviation >= found.sharp >= spread
    assert found.machine in (machine, shift)
    assert not found.by_cases or found.machine == shift


def test_a_case_is_held_against_its_own_noise_and_its_interval_has_all_of_it():
    references, prior = _exactly(0.1, 6), Prior(0.1, 8.0)
    alone = statistics.stored(0.3, references, prior)
    found = statistics.stored(0.3, references, prior, among=among(Prior(0.03, 8.0)))
    assert (alone.p > 0.01, found.p < 0.0001) == (True, True)
    assert found.low <= alone.low < found.sharp_interval[0] < 0.3 < found.sharp_interval[1] < alone.high <= found.high
    assert found.deviation == alone.deviation
    assert statistics.detectable(found, 0.001, 0.1) < statistics.detectable(alone, 0.001, 0.1) / 2


def synthetic(chance, runs, cases, *, common=0.1, own=0.03):
    """(current, references) of cases that share their run's moment."""
    values = chance.normal(0, common, (runs + 1, 1)) + chance.normal(0, own, (runs + 1, cases))
    return values[-1] + 3.0, values[:-1] + 3.0


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(5, 12), st.floats(-1, 1))
def test_a_moment_is_what_all_cases_share(seed, runs, cases, shift):
    current, references = synthetic(np.random.default_rng(seed), runs, cases)
    one, other = statistics.moment(current, references), statistics.moment(current + shift, references)
    assert other.shift == pytest.approx(one.shift + shift, abs=1e-9)
    assert (one.samples, other.spread) == (runs, pytest.approx(one.spread, abs=1e-9))
    # What a run shared with no other is no case's own noise, and it is all of what the runs share.
    moved = statistics.apart(references + np.arange(runs)[:, None])
    assert moved.deviations == pytest.approx(one.reference.deviations, abs=1e-9)
    steps = moved.shifts - one.reference.shifts
    assert steps - steps[0] == pytest.approx(np.arange(runs), abs=1e-9)


@pytest.mark.parametrize("cases", [5, 12, 40])
def test_the_noise_of_a_moment_is_that_of_one_case_of_one_run(cases):
    chance = np.random.default_rng(3)
    found = [statistics.moment(*synthetic(chance, runs, cases, own=0.05)) for runs in (2, 4, 10) for _ in range(400)]
    assert np.mean([one.spread for one in found]) == pytest.approx(0.05, rel=0.12)
    assert np.median([one.reference.pooled.deviation for one in found]) == pytest.approx(0.05, rel=0.08)
    assert {one.reference.pooled.degrees for one in found} == {float(cases), 3.0 * cases, 9.0 * cases}


def test_a_few_cases_that_changed_do_not_make_the_moment():
    current, references = synthetic(np.random.default_rng(5), 5, 12, common=0.0, own=0.01)
    current[:3] += 2.0
    found = statistics.moment(current, references)
    assert abs(found.shift) < 0.02
    assert found.spread < 0.03
    assert statistics.moment(current[:4], references[:, :4]) is None


def test_runs_that_lack_cases_tell_of_those_that_they_have():
    current, references = synthetic(np.random.default_rng(6), 4, 8)
    references[0, 3:] = math.nan  # three cases: too few to say what they shared
    references[1, 0] = math.nan
    references[2:, 7] = math.nan  # one value is left, of a run that counts
    found = statistics.moment(current, references)
    assert found.reference.degrees.tolist() == [1, 2, 2, 2, 2, 2, 2, 0]
    assert (found.reference.deviations[7], len(found.reference.shifts), found.samples) == (0.0, 3, 1)
    assert np.isfinite([found.shift, found.spread, *found.reference.deviations]).all()


def test_what_is_known_before_gives_way_to_what_all_cases_show():
    current, references = synthetic(np.random.default_rng(8), 10, 20)
    found = statistics.case_among(statistics.moment(current, references), 0, Prior(0.2, 8.0))
    assert found.noise.deviation < 0.06
    assert found.noise.degrees == statistics.MOST_DEGREES
    # A single run shows nothing: what is known before is all there is.
    first = statistics.case_among(statistics.moment(current, references[:1]), 0, Prior(0.2, 8.0))
    assert (first.noise.deviation, first.noise.degrees) == pytest.approx((0.2, 8.0))


def test_what_excuses_each_case_accuses_all_of_them():
    current, references = synthetic(np.random.default_rng(9), 10, 20, common=0.02)
    prior = Prior(0.02, 8.0)
    assert statistics.together(statistics.moment(current, references), prior).p > 0.05
    # Twelve of twenty: the median is among them, a mean would hardly be.
    current[:12] += 0.15
    current[12] -= 3.0
    shared = statistics.moment(current, references)
    found = statistics.together(shared, prior)
    assert (found.effect, found.samples, found.own) == (shared.shift, 10, 1)
    assert found.p < 0.005
    assert statistics.together(shared, prior, machine=shared.shift).p == 1.0


@pytest.mark.parametrize(
    ("effect", "machine", "nearest"),
    [(0.3, 0.1, 0.2), (0.3, 0.4, 0.0), (0.3, -0.1, 0.3), (-0.3, -0.1, -0.2), (-0.3, 0.1, -0.3), (0.0, 0.2, 0.0)],
)
def test_the_nearest_point_of_what_the_gateways_effect_can_be(effect, machine, nearest):
    estimate = statistics.stored(effect, [0.0], Prior(0.05, 8.0), machine=machine)
    assert estimate.nearest == pytest.approx(nearest)


@pytest.mark.parametrize("runs", [1, 2, 5, 10])
def test_intervals_hold_one_more_run_in_95_of_100(runs):
    """The prior is an estimate of its own, of 6 earlier runs, as a noise record is."""
    chance = np.random.default_rng(7)
    held = alarms = 0
    for _ in range(2000):
        record, values = chance.normal(0, 0.06, 6), chance.normal(0, 0.06, runs + 1)
        estimate = statistics.stored(values[-1], values[:-1], Prior(float(record.std(ddof=1)), 5.0))
        held += estimate.low <= 0 <= estimate.high
        alarms += estimate.p <= 0.01
    assert 0.935 <= held / 2000 <= 0.965
    assert alarms / 2000 <= 0.016


# ---------------------------------------------------------------------------------------------------------------------
# Paired blocks


@given(st.lists(logs, min_size=5, max_size=9))
def test_a_paired_comparison_turned_round_is_its_mirror_image(differences):
    one, other = statistics.paired(differences), statistics.paired([-value for value in differences])
    assert other.effect == pytest.approx(-one.effect, abs=1e-9)
    assert other.p == pytest.approx(one.p, abs=1e-9)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), abs=1e-9)


@given(st.lists(logs, min_size=5, max_size=9))
def test_the_paired_t_is_scipys(differences):
    assume(np.std(differences, ddof=1) > 0.01)
    assert statistics.paired(differences).p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=1e-9)


@given(st.lists(logs, min_size=1, max_size=12))
def test_hodges_lehmann_lies_among_the_values_and_moves_with_them(values):
    estimate = statistics.hodges_lehmann(np.array(values))
    assert min(values) - 1e-9 <= estimate <= max(values) + 1e-9
    assert statistics.hodges_lehmann(np.array(values) + 1.5) == pytest.approx(estimate + 1.5, abs=1e-9)


def test_one_stalled_block_does_not_move_the_effect():
    quiet = [0.01, 0.02, 0.0, 0.01, 0.015, 0.005, 0.01, 0.012]
    assert statistics.paired([*quiet[:-1], 3.0]).effect == pytest.approx(statistics.paired(quiet).effect, abs=0.01)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-1, 1).map(lambda value: round(value, 6)), min_size=5, max_size=8))
def test_the_sign_flip_test_goes_through_all_signs(values):
    signs = np.array(np.meshgrid(*[[1, -1]] * len(values))).reshape(len(values), -1)
    means = np.array(values) @ signs / len(values)
    # Two-sided by twice the smaller tail, as scipy has it.
    seen = float(np.mean(values))
    tolerance = 1e-12 * max(map(abs, values), default=0) + 1e-15
    tails = np.mean(means >= seen - tolerance), np.mean(means <= seen + tolerance)
    assert statistics.sign_flip(values) == pytest.approx(min(1.0, 2 * min(tails)), abs=1e-9)


@pytest.mark.parametrize("blocks", [5, 8, 12, 16])
def test_all_differences_of_one_sign_have_the_smallest_p(blocks):
    p = statistics.sign_flip(np.linspace(0.1, 0.2, blocks))
    assert p <= statistics.smallest_sign_flip(blocks) * 1.01
    assert statistics.sign_flip_agrees(p, blocks)


def test_the_exact_test_disagrees_with_one_wild_block():
    p = statistics.sign_flip([0.0, 0.01, -0.01, 0.01, -0.01, 0.0, 0.01, 3.0])
    assert not statistics.sign_flip_agrees(p, 8)


@pytest.mark.parametrize("blocks", [5, 8, 16])
def test_paired_intervals_hold_the_truth_in_95_of_100(blocks):
    chance = np.random.default_rng(11)
    estimates = [statistics.paired(chance.normal(0.1, 0.04, blocks)) for _ in range(2000)]
    held = np.mean([one.low <= 0.1 <= one.high for one in estimates])
    assert 0.935 <= held <= 0.97


# ---------------------------------------------------------------------------------------------------------------------
# Many hypotheses


@given(p_values)
def test_the_correction_is_scipys(values):
    expected = stats.false_discovery_control(values)
    assert statistics.corrected(values) == pytest.approx(list(expected), abs=1e-12)


def test_nothing_to_correct():
    assert statistics.corrected([]) == []


@given(p_values, st.data())
def test_a_larger_p_never_finds_more(values, data):
    place = data.draw(st.integers(0, len(values) - 1))
    larger = [*values[:place], data.draw(st.floats(values[place], 1)), *values[place + 1 :]]
    before, after = statistics.corrected(values), statistics.corrected(larger)
    assert all(one <= other + 1e-12 for one, other in zip(before, after, strict=True))


def test_suites_without_any_change_rarely_find_one():
    chance = np.random.default_rng(3)
    alarms = sum(min(statistics.corrected(list(chance.uniform(size=40)))) <= 0.01 for _ in range(2000))
    assert alarms / 2000 <= 0.016


# ---------------------------------------------------------------------------------------------------------------------
# What could have been seen


@pytest.mark.parametrize(("runs", "level"), [(1, 0.01), (5, 0.01 / 40), (10, 0.01 / 40)])
def test_what_is_called_detectable_is_found_in_4_of_5(runs, level):
    chance = np.random.default_rng(5)
    prior = Prior(0.05, 8.0)
    found = []
    for _ in range(1500):
        # The prior is right: an estimate with its degrees of freedom.
        known = Prior(0.05 * math.sqrt(chance.chisquare(8) / 8), 8.0)
        references = chance.normal(0, 0.05, runs)
        shape = statistics.stored(0.0, _exactly(0.05, runs), prior)
        effect = statistics.detectable(shape, level, 0.0)
        estimate = statistics.stored(effect + chance.normal(0, 0.05), references, known)
        found.append(estimate.p <= level and estimate.effect > 0)
    assert 0.75 <= np.mean(found) <= 0.85


def _exactly(deviation: float, count: int) -> list[float]:
    if count == 1:
        return [0.0]
    values = np.arange(count) - (count - 1) / 2
    return list(values / values.std(ddof=1) * deviation)


@given(logs, several, priors, st.floats(1e-6, 0.05), st.floats(0, 0.3))
def test_detectable_lies_beyond_the_threshold_and_grows_with_the_proof_asked_for(
    current, references, prior, level, threshold
):
    estimate = statistics.stored(current, references, prior)
    seen = statistics.detectable(estimate, level, threshold)
    assert seen > threshold
    assert statistics.detectable(estimate, level / 2, threshold) >= seen


def test_the_number_of_blocks_that_would_decide_does_decide():
    values = np.array([0.05, 0.2, 0.02, 0.18, 0.01])
    estimate = statistics.paired(values)
    needed = statistics.decided_by(estimate, 0.001, worse=0.0, better=-0.05, within=(-0.1, 0.1))
    assert needed is not None
    assert needed > 5
    error = estimate.deviation / math.sqrt(needed)
    assert 2 * stats.t.sf(estimate.effect / error, needed - 1) <= 0.001
    error = estimate.deviation / math.sqrt(needed - 1)
    assert 2 * stats.t.sf(estimate.effect / error, needed - 2) > 0.001


def test_no_number_of_runs_repairs_the_noise_of_the_run_itself():
    estimate = statistics.stored(0.03, _exactly(0.08, 3), Prior(0.08, 8.0))
    assert statistics.decided_by(estimate, 0.001, worse=0.0, better=-0.05, within=(-0.1, 0.1)) is None


def test_more_runs_are_not_promised_to_make_surer_than_they_can():
    case = among(Prior(0.05, statistics.MOST_DEGREES))
    found = statistics.stored(0.26, _exactly(0.05, 9), Prior(0.05, 8.0), among=case)
    limits = {"worse": 0.0, "better": -0.05, "within": (-0.1, 0.1)}
    assert statistics.decided_by(found, 0.0002, **limits) is None
    assert statistics.decided_by(replace(found, most_degrees=math.inf), 0.0002, **limits) > 10
    assert statistics.decided_by(found, 0.01, **limits, most=10) == 10
    assert statistics.decided_by(found, 0.01, **limits, most=9) is None


def test_what_the_machine_hides_no_number_of_runs_decides():
    estimate = statistics.stored(0.3, _exactly(0.01, 3), Prior(0.01, 8.0), machine=0.4)
    assert statistics.decided_by(estimate, 0.001, worse=0.0, better=-0.05, within=(-0.1, 0.1)) is None


def test_the_resolution_of_a_latency():
    assert statistics.resolution(1.0, 0.1) == pytest.approx(0.0289, abs=1e-4)
    assert statistics.resolution(100.0, 0.1) == pytest.approx(0.000289, abs=1e-6)
