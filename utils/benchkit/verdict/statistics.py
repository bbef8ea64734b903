"""The statistics of a verdict: pure functions over arrays, without documents.

Everything is on natural logarithms, and *positive is worse*: a caller turns a metric round whose larger values are
better. So a difference is a ratio, and one unit of noise is the same share of a fast and of a slow case.

The unit of noise is the run (stored mode) or the block (paired mode), never the request: requests of one run share its
moment and its machine.

``scipy.stats`` is imported where it is used: that takes longer than everything else a comparison with a stored baseline
does. Student's t itself is in ``scipy.special``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, nctdtrinc, stdtr, stdtrit  # pylint: disable=no-name-in-module  # it is compiled

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
"""Of every interval."""

POWER = 0.8
"""Of what is called detectable: found in 4 of 5 comparisons."""

SMALLEST_NOISE = 0.005
"""Between runs, as a logarithm. No two runs of a gateway are more alike than that, whatever a few of them say."""

SMALLEST_PAIRED_NOISE = 0.001
"""Between the two sides of a block, as a logarithm."""

MOST_SAMPLES = 100
"""A number of runs or blocks beyond this decides nothing in practice."""

EXACT_FLIPS = 12
"""Up to so many blocks, the sign-flip test goes through all 2**k signs; above, through 2**12 of them, drawn at random
(from a fixed seed): it is held against 0.05, which that tells as well."""

CHECKED_BELOW = 0.05
"""Significance level that the exact test must reach too, if there are enough blocks for it. A larger p of the t test is
not checked."""

FEWEST_TOGETHER = 5
"""Cases from which on their median says what they share: with five, two may have changed by themselves."""

NORMAL_MAD = 1.482602218505602
"""A normal distribution's standard deviation, divided by its median absolute deviation: 1 / Phi⁻¹(3/4)."""

OF_MEDIAN = 0.55
"""Divided by the number of values: the share of a value's variance that their median takes away (normal distribution:
1 - 2/n + the median's own variance, 0.287 for 5 and 0.073 for 20 values)."""

MOST_DEGREES = 10.0
"""What was seen of the noise in one hour, or in ten runs, is never worth more degrees of freedom: other days differ,
and a single case may be hit by what no normal distribution has."""

MIN_BLOCKS = 5
"""Below five blocks no outcome of the sign-flip test is rare: with four, the rarest has p = 0.125."""


@dataclass(frozen=True)
class Prior:
    """What is known of the noise between runs before this baseline: a deviation, worth so many degrees of freedom."""

    deviation: float
    degrees: float


@dataclass(frozen=True)
class Apart:
    """Runs of the same cases, taken apart into what the cases of each run share and what each case has of its own.

    ``shifts``, of shape (runs,), is what the cases of a run share, of the runs that have enough of them to tell.
    ``deviations``, of shape (cases,), is how each case scatters around that, 0 for a case with a single run;
    ``degrees`` are its degrees of freedom.
    """

    shifts: Floats
    deviations: Floats
    degrees: Floats

    @property
    def pooled(self) -> Prior:
        """The deviation of all cases together; worth nothing where each has a single run."""
        total = float(self.degrees.sum())
        squares = float((self.degrees * self.deviations**2).sum())
        return Prior(math.sqrt(squares / total) if total else 0.0, total)


@dataclass(frozen=True)
class Moment:
    """What the cases of a run say together of its moment, for they share the machine and its other work.

    ``shift`` is what they share beyond the reference (a logarithm, positive is worse), ``spread`` how one case scatters
    around it in this run. ``samples`` is the smallest number of runs that a case's reference has.
    """

    shift: float
    spread: float
    samples: int
    reference: Apart


@dataclass(frozen=True)
class Among:
    """One case among the others of its run; ``noise`` is how it scatters around what all share."""

    moment: Moment
    noise: Prior


@dataclass(frozen=True)
class Estimate:
    """How much worse one side is, as a natural logarithm, and how sure that is.

    ``effect`` is what was seen. ``machine`` of it, or any part of that, can be the machine's own change of speed, so
    the gateway's effect is a range from ``effect`` to ``effect - machine``; ``nearest`` is its point nearest to none.
    ``by_cases``: it is the run's other cases that say so, not the machine's control work.
    ``low`` to ``high`` is the 95 % interval, widened by the range. ``p`` is two-sided, for no effect, of ``nearest``.
    ``deviation`` is of one run, or of one block's difference; ``sharp`` is what of it is left when what all cases of a
    run share is taken away, which is what ``p`` is about (the same where that is not known). ``degrees`` never become
    more than ``most_degrees``. ``own`` is 1 where the run that is judged brings its own share of the deviation (a
    prediction interval), 0 where the mean of the differences is judged.
    """

    effect: float
    machine: float
    by_cases: bool
    low: float
    high: float
    p: float
    deviation: float
    sharp: float
    degrees: float
    most_degrees: float
    samples: int
    own: int

    @property
    def nearest(self) -> float:
        """The point nearest to zero of what the gateway's effect may be."""
        return _nearest(self.effect, self.machine)

    @property
    def standard_error(self) -> float:
        """Of ``nearest``."""
        return self.sharp * math.sqrt(self.own + 1 / self.samples)

    @property
    def sharp_interval(self) -> tuple[float, float]:
        """The 95 % interval of what is the case's own, where that is known apart from what all cases share."""
        if self.sharp == self.deviation:
            return self.low, self.high
        half = float(stdtrit(self.degrees, (1 + CONFIDENCE) / 2)) * self.standard_error
        ends = (self.effect, self.effect - self.machine)
        return max(self.low, min(ends) - half), min(self.high, max(ends) + half)


def _nearest(effect: float, machine: float) -> float:
    ends = sorted((effect, effect - machine))
    return min(max(0.0, ends[0]), ends[1])


def _two_sided(effect: float, error: float, degrees: float) -> float:
    return min(1.0, 2 * float(stdtr(degrees, -abs(effect) / error)))


# ---------------------------------------------------------------------------------------------------------------------
# Stored baseline


def moderated(deviation: float, degrees: float, prior: Prior) -> Prior:
    """A deviation with so many degrees of freedom, drawn towards what was known before.

    ``s² = (d₀·s₀² + d·s²) / (d₀ + d)``, with ``d₀ + d`` degrees of freedom (Smyth 2004, "Linear models and empirical
    Bayes methods", section 3: the moderated t of limma). So two runs that happen to agree are not taken for a machine
    without noise, and a single one can be judged at all.
    """
    total = prior.degrees + degrees
    return Prior(math.sqrt((prior.degrees * prior.deviation**2 + degrees * deviation**2) / total), total)


def stored(
    current: float,
    references: ArrayLike,
    prior: Prior,
    *,
    floor: float = 0.0,
    machine: float = 0.0,
    among: Among | None = None,
) -> Estimate:
    """One run held against the runs of a baseline: the prediction interval for one more run.

    ``t = (x - mean) / (s·√(1 + 1/m))`` with the moderated deviation.

    With ``among``, of the effect the part that all cases share need not be the case's own. What is left has only its
    own noise, which is smaller than that between runs; but never less than what this run's cases show. So a busy moment
    of the machine accuses no single case. The interval keeps the whole noise: the other cases cannot tell a machine
    that was slower from a gateway that became slower in all of them, which :func:`together` judges.

    Args:
        current: the run's value, a logarithm, positive is worse.
        references: those of the baseline's m >= 1 runs.
        prior: what is known of the deviation; with more than 0 degrees of freedom.
        floor: the deviation is never taken for less (nor than :data:`SMALLEST_NOISE`).
        machine: logarithm of the machine's control time now, divided by that of the references: positive is slower.
        among: the run's other cases, where there are enough.
    """
    values = np.asarray(references, dtype=np.float64)
    count = int(values.size)
    own_deviation = float(values.std(ddof=1)) if count > 1 else 0.0
    noise = moderated(own_deviation, count - 1, prior)
    deviation = max(noise.deviation, floor, SMALLEST_NOISE)
    effect = current - float(values.mean())
    if among is None:
        return _estimate(effect, Prior(deviation, noise.degrees), shifts=(machine, 0.0), samples=count, own=1)
    own = Prior(max(among.noise.deviation, among.moment.spread, floor, SMALLEST_NOISE), among.noise.degrees)
    return _estimate(
        effect,
        Prior(max(deviation, own.deviation), own.degrees),
        sharp=own.deviation,
        shifts=(machine, among.moment.shift),
        most_degrees=MOST_DEGREES,
        samples=count,
        own=1,
    )


def _estimate(
    effect: float,
    noise: Prior,
    *,
    sharp: float | None = None,
    shifts: tuple[float, float] = (0.0, 0.0),
    most_degrees: float = math.inf,
    samples: int,
    own: int,
) -> Estimate:
    """``shifts`` may be the machine's, by its control work and by all cases; what explains the most is kept."""
    sharp = noise.deviation if sharp is None else sharp
    machine = max(shifts, key=lambda shift: (shift * effect > 0, abs(shift)))
    ends = (effect, *(effect - shift for shift in shifts))
    scale = math.sqrt(own + 1 / samples)
    half = float(stdtrit(noise.degrees, (1 + CONFIDENCE) / 2)) * noise.deviation * scale
    return Estimate(
        effect=effect,
        machine=machine,
        by_cases=machine != shifts[0],
        low=min(ends) - half,
        high=max(ends) + half,
        p=_two_sided(_nearest(effect, machine), sharp * scale, noise.degrees),
        deviation=noise.deviation,
        sharp=sharp,
        degrees=noise.degrees,
        most_degrees=most_degrees,
        samples=samples,
        own=own,
    )


def apart(references: ArrayLike) -> Apart:
    """Take runs apart into what their cases share and what each has of its own.

    Medians, because a few cases may have been hit alone. Runs with fewer than :data:`FEWEST_TOGETHER` cases tell
    nothing.

    Args:
        references: of shape (runs, cases): logarithms, nan where a run does not have a case. Each case has a value in
            one run at least.
    """
    values = np.asarray(references, dtype=np.float64)
    telling = values[np.isfinite(values).sum(axis=1) >= FEWEST_TOGETHER]
    counts = np.isfinite(telling).sum(axis=0)
    around = telling - np.nanmean(values, axis=0)
    shifts = np.nanmedian(around, axis=1) if len(around) else np.empty(0)
    around = around - shifts[:, None]
    around = around - np.nansum(around, axis=0) / np.maximum(counts, 1)
    degrees = np.maximum(counts - 1.0, 0.0)
    squares = np.nansum(around**2, axis=0) / (1 - OF_MEDIAN / values.shape[1])
    return Apart(shifts, np.sqrt(squares / np.maximum(degrees, 1.0)), degrees)


def moment(current: ArrayLike, references: ArrayLike) -> Moment | None:
    """What the cases of a run say together; ``None`` for fewer than :data:`FEWEST_TOGETHER`.

    Medians, because a few cases may truly have changed. The spread is brought to that of one run: an effect has that of
    a run and of a mean of some.

    Args:
        current: the run's values, of shape (cases,): logarithms, positive is worse.
        references: those of the reference's runs, as for :func:`apart`.
    """
    now, before = np.asarray(current, dtype=np.float64), np.asarray(references, dtype=np.float64)
    if now.size < FEWEST_TOGETHER:
        return None
    counts = np.isfinite(before).sum(axis=0)
    effects = now - np.nanmean(before, axis=0)
    shift = float(np.median(effects))
    # The median leaves a case of few at 0, so the deviation is too small by about this (Croux and Rousseeuw, 1992).
    few = now.size / (now.size - 0.8)
    spread = few * NORMAL_MAD * float(np.median(np.abs(effects - shift) / np.sqrt(1 + 1 / counts)))
    return Moment(shift, spread, int(counts.min()), apart(before))


def case_among(shared: Moment, place: int, prior: Prior) -> Among:
    """A case (by its place) among the others.

    ``prior`` is what is known of a case's noise before this baseline. It is drawn towards what all cases show, and that
    towards what the case itself does. Where each case has a single run, the prior is all there is.
    """
    of_all, of_case = shared.reference.pooled, shared.reference
    known = Prior(moderated(of_all.deviation, of_all.degrees, prior).deviation, prior.degrees)
    noise = moderated(float(of_case.deviations[place]), float(of_case.degrees[place]), known)
    return Among(shared, Prior(noise.deviation, min(noise.degrees, MOST_DEGREES)))


def together(shared: Moment, prior: Prior, *, machine: float = 0.0) -> Estimate:
    """What all cases share, held against what the cases of the reference's runs shared: a prediction interval.

    Tests the common shift that was subtracted from every case: it counts if it is more than the noise between runs.

    Args:
        shared: the run's moment.
        prior: what is known of the noise between runs.
        machine: as for :func:`stored`.
    """
    shifts = shared.reference.shifts
    degrees = max(len(shifts) - 1, 0)
    noise = moderated(float(shifts.std(ddof=1)) if degrees else 0.0, degrees, prior)
    noise = Prior(max(noise.deviation, SMALLEST_NOISE), noise.degrees)
    return _estimate(shared.shift, noise, shifts=(machine, 0.0), samples=shared.samples, own=1)


# ---------------------------------------------------------------------------------------------------------------------
# Paired blocks


def paired(differences: ArrayLike, *, floor: float = 0.0) -> Estimate:
    """Two gateways held against each other over k >= 2 blocks.

    The effect is that of Hodges and Lehmann, which one stalled block does not move; interval and p are those of the
    paired t, around the mean.

    Args:
        differences: logarithm of the head's value less the base's, one for each block; positive is worse.
        floor: the deviation is never taken for less (nor than :data:`SMALLEST_PAIRED_NOISE`).
    """
    values = np.asarray(differences, dtype=np.float64)
    blocks = int(values.size)
    deviation = max(float(values.std(ddof=1)), floor, SMALLEST_PAIRED_NOISE)
    noise = Prior(deviation, blocks - 1)
    around_mean = _estimate(float(values.mean()), noise, samples=blocks, own=0)
    effect = hodges_lehmann(values)
    # The interval holds the effect, also where the mean is far from it.
    low, high = min(around_mean.low, effect), max(around_mean.high, effect)
    return replace(around_mean, effect=effect, low=low, high=high)


def hodges_lehmann(values: Floats) -> float:
    """The median of all means of two values, each value with itself included (Hodges and Lehmann, 1963)."""
    first, second = np.triu_indices(values.size)
    return float(np.median((values[first] + values[second]) / 2))


def sign_flip(differences: ArrayLike) -> float:
    """Two-sided p of the sign-flip test of the mean: exact up to :data:`EXACT_FLIPS` values.

    If both sides are the same gateway, each difference could as well have had the other sign, however it scatters.
    """
    from scipy.stats import permutation_test  # pylint: disable=import-outside-toplevel  # the module's text says why

    values = np.asarray(differences, dtype=np.float64)
    result = permutation_test(
        (values,),
        _mean,
        permutation_type="samples",
        n_resamples=2**EXACT_FLIPS,
        batch=4096,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def _mean(values: Floats, axis: int) -> Floats:
    return np.asarray(values.mean(axis=axis))


def smallest_sign_flip(blocks: int) -> float:
    """The smallest p that :func:`sign_flip` can have with so many blocks: all differences of one sign."""
    return float(2.0 / 2 ** min(blocks, EXACT_FLIPS))


def sign_flip_agrees(p: float, blocks: int) -> bool:
    """Whether the exact test does not speak against what the t test found."""
    return p <= max(CHECKED_BELOW, smallest_sign_flip(blocks)) * (1 + 1e-9)


# ---------------------------------------------------------------------------------------------------------------------
# Many hypotheses, and what could have been seen


def corrected(p_values: Sequence[float]) -> list[float]:
    """The q-values of Benjamini and Hochberg (1995): the smallest rate of false discoveries at which each is one.

    What ``scipy.stats.false_discovery_control`` computes (a test holds the two against each other), without its import.
    """
    count = len(p_values)
    order = np.argsort(p_values)[::-1]
    scaled = np.asarray(p_values, dtype=np.float64)[order] * count / np.arange(count, 0, -1)
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled), 1.0)
    return [float(value) for value in adjusted]


def detectable(estimate: Estimate, level: float, threshold: float) -> float:
    """The smallest effect for the worse that would have been a regression in 4 of 5 such comparisons (a logarithm).

    Its p has to reach ``level``, for which the noncentral t gives the effect, and it has to be seen beyond
    ``threshold`` (a logarithm): an effect of exactly the threshold is seen beyond it half of the time.
    """
    critical = float(stdtrit(estimate.degrees, 1 - level / 2))
    proven = float(nctdtrinc(estimate.degrees, 1 - POWER, critical))
    beyond = threshold / estimate.standard_error + float(stdtrit(estimate.degrees, POWER))
    return max(proven, beyond) * estimate.standard_error + abs(estimate.machine)


def decided_by(
    estimate: Estimate,
    level: float,
    worse: float,
    better: float,
    within: tuple[float, float],
    *,
    most: int = MOST_SAMPLES,
) -> int | None:
    """How many runs or blocks would decide, if they showed the same effect and the same deviation.

    Args:
        estimate: one that does not decide.
        level: what p has to reach.
        worse: from here on a proven effect has a name for the worse (0: any).
        better: down to here a proven effect is an improvement (a negative logarithm).
        within: the interval that lies inside these is unchanged.
        most: so many there can be.

    Returns:
        The smallest number; ``None`` where none up to ``most`` decides.
    """
    counts = np.arange(max(estimate.samples + 1, 2 if estimate.own else MIN_BLOCKS), most + 1, dtype=np.float64)
    if not counts.size:
        return None
    degrees = np.minimum(estimate.degrees + counts - estimate.samples, estimate.most_degrees)
    scales = np.sqrt(estimate.own + 1 / counts)
    half = stdtrit(degrees, (1 + CONFIDENCE) / 2) * estimate.deviation * scales
    ends = sorted((estimate.effect, estimate.effect - estimate.machine))
    inside = (ends[0] - half > within[0]) & (ends[1] + half < within[1])
    named = estimate.nearest > worse or estimate.nearest <= better
    proven = (2 * stdtr(degrees, -abs(estimate.nearest) / (estimate.sharp * scales)) <= level) & named
    deciding = counts[inside | proven]
    return int(deciding[0]) if deciding.size else None


def resolution(value_ms: float, step_ms: float) -> float:
    """The deviation that its step alone gives a latency, as a logarithm.

    A latency is known to half a step, evenly spread, so with a standard deviation of a step / sqrt(12).
    """
    return step_ms / math.sqrt(12) / value_ms


# ---------------------------------------------------------------------------------------------------------------------
# Failed requests


def more_fail(failed: int, sent: int, failed_before: int, sent_before: int) -> float:
    """The p of Fisher's exact test (1935), one-sided: do more requests fail than before?

    Args:
        failed: requests without the right answer, now.
        sent: all requests now.
        failed_before: as ``failed``, of all runs that are compared with.
        sent_before: as ``sent``, of the same runs.

    Returns:
        With both equally prone to fail: the probability that so many of all failures, or more, are among those now.
    """
    failures, everything = failed + failed_before, sent + sent_before
    if failed <= 0 or sent <= 0:
        return 1.0
    # Terms this far out add nothing: of 10**8 requests, 100,000 failures are twenty standard deviations.
    now = np.arange(failed, min(failures, sent, failed + 100_000) + 1, dtype=np.float64)
    logarithms = _choose(failures, now) + _choose(everything - failures, sent - now) - _choose(everything, sent)
    return min(1.0, float(np.exp(logarithms).sum()))


def _choose(of: float, count: ArrayLike) -> Floats:
    """Natural logarithm of the binomial coefficient; minus infinity where there is no such choice."""
    chosen = np.asarray(count, dtype=np.float64)
    possible = (chosen >= 0) & (chosen <= of)
    chosen = np.where(possible, chosen, 0.0)
    ways: Floats = gammaln(of + 1) - gammaln(chosen + 1) - gammaln(of - chosen + 1)
    return np.where(possible, ways, -np.inf)
