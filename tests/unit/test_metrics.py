"""Arithmetic over rows: percentiles, throughput, histogram, timeline."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.load.metrics import (
    CaseSamples,
    IterationSamples,
    PartSamples,
    advisory,
    bucket_seconds,
    figures,
    histogram,
    histogram_edges,
    percentile_curve,
    percentiles,
    timeline,
)
from benchkit.load.rows import Rows
from benchkit.model import METRICS, samples_for


def part(  # pylint: disable=too-many-arguments  # what a load process leaves
    latency_ms: list[float],
    *,
    status: list[int] | int = 200,
    offset_s: list[float] | float = 0.0,
    sent: int | None = None,
    start_s: float = 0.0,
    wall_s: float = 9.0,
) -> PartSamples:
    number = len(latency_ms)
    return PartSamples(
        rows=Rows(
            np.array(latency_ms, float),
            np.broadcast_to(np.array(status, np.int16), number),
            np.broadcast_to(np.array(offset_s, float), number),
        ),
        expected_status=200,
        sent=number if sent is None else sent,
        start_s=start_s,
        wall_s=wall_s,
    )


def case(*parts: PartSamples) -> CaseSamples:
    """A case of one iteration."""
    return CaseSamples((IterationSamples(parts),))


def iterations(*parts: PartSamples) -> CaseSamples:
    """A case whose iterations have one part each."""
    return CaseSamples(tuple(IterationSamples((one,)) for one in parts))


def test_every_figure_of_a_plain_case() -> None:
    # 100 answers of 1 … 100 ms, ten at a time in steps of 0.1 s: the last is complete at 0.9 s + 100 ms.
    latency = [float(value) for value in range(1, 101)]
    values = figures(case(part(latency, offset_s=[index // 10 / 10 for index in range(100)])))
    assert values == {
        "p50_latency": 50.5,
        "p95_latency": 95.05,
        "p99_latency": 99.01,
        "mean_latency": 50.5,
        "min_latency": 1.0,
        "max_latency": 100.0,
        "requests_per_sec": 100.0,
        "total_time": 1.0,
        "error_rate": 0.0,
    }
    assert list(values) == [name for name in METRICS if name in values]


def test_failures_are_in_the_error_rate_only() -> None:
    values = figures(case(part([10.0, 1.0, 10.0, 1.0], status=[200, 429, 200, 503], offset_s=[0, 0, 0.99, 0.99])))
    assert values["error_rate"] == 0.5
    assert values["min_latency"] == values["max_latency"] == 10.0
    assert values["requests_per_sec"] == pytest.approx(2 / 1.0)


def test_requests_without_a_row_make_the_process_lifetime_the_wall_time() -> None:
    values = figures(case(part([10.0] * 9, sent=10, wall_s=30.0)))
    assert values["total_time"] == 30.0
    assert values["requests_per_sec"] == 0.3
    assert values["error_rate"] == 0.1


def test_parts_lie_on_one_clock() -> None:
    first = part([100.0] * 10, offset_s=0.9)  # done after 1 s
    second = part([100.0] * 10, offset_s=0.9, start_s=0.5)  # done after 1.5 s
    values = figures(case(first, second))
    assert values["total_time"] == 1.5
    assert values["requests_per_sec"] == pytest.approx(20 / 1.5)


def test_iterations_are_pooled_and_their_times_added() -> None:
    values = figures(iterations(part([10.0] * 10, offset_s=0.99), part([30.0] * 30, offset_s=1.97)))
    assert values["total_time"] == 3.0
    assert values["requests_per_sec"] == pytest.approx(40 / 3)
    assert values["p50_latency"] == 30.0
    assert values["mean_latency"] == 25.0


def test_nothing_succeeded_means_no_figures_at_all() -> None:
    nothing = case(part([1.0, 2.0], status=500))
    assert figures(nothing) == {}
    assert histogram(nothing, 0.1) is None
    assert not percentiles(nothing.latency_ms)
    assert figures(case(part([], sent=5))) == {}


def test_an_answer_quicker_than_heys_resolution_still_has_a_wall_time() -> None:
    assert figures(case(part([0.0], wall_s=0.02)))["requests_per_sec"] == 50.0


@pytest.mark.parametrize(
    ("samples", "marked"),
    [
        (19, ["p50_latency", "p95_latency", "p99_latency"]),
        (20, ["p95_latency", "p99_latency"]),
        (199, ["p95_latency", "p99_latency"]),
        (200, ["p99_latency"]),
        (999, ["p99_latency"]),
        (1000, []),
    ],
)
def test_a_percentile_with_fewer_than_ten_samples_beyond_is_advisory(samples: int, marked: list[str]) -> None:
    assert advisory(samples) == marked


# Percentile curve


@pytest.mark.parametrize(
    ("samples", "last"), [(9, None), (10, 0.0), (19, 40.0), (20, 50.0), (200, 95.0), (1000, 99.0), (10_000, 99.9)]
)
def test_a_curve_ends_where_fewer_than_ten_samples_lie_beyond(samples: int, last: float | None) -> None:
    curve = percentile_curve(case(part([float(value) for value in range(1, samples + 1)])))
    assert (curve.percent[-1] if curve else None) == last


def test_a_curve_passes_through_the_percentiles_of_the_table() -> None:
    samples = case(part([float(value) for value in range(1, 1001)]))
    curve, values = percentile_curve(samples), figures(samples)
    assert curve is not None
    found = dict(zip(curve.percent, curve.pooled_ms, strict=True))
    assert {name: found[METRICS[name].percentile or 0] for name in values if METRICS[name].percentile} == {
        name: value for name, value in values.items() if METRICS[name].percentile
    }


def test_each_iteration_has_its_own_curve_as_far_as_it_goes() -> None:
    curve = percentile_curve(iterations(part([10.0] * 20), part([30.0] * 180), part([1.0], status=500)))
    assert curve is not None
    assert curve.percent[-1] == 95.0
    assert [len(one) for one in curve.iterations_ms] == [6, 17, 0]
    assert (curve.pooled_ms[0], curve.pooled_ms[-1]) == (10.0, 30.0)


@given(st.lists(st.integers(0, 10_000).map(lambda tenths: tenths / 10), max_size=500))
def test_a_curve_rises_and_holds_nothing_that_the_samples_do_not_carry(latency: list[float]) -> None:
    curve = percentile_curve(case(part(latency)))
    assert (curve is None) == (len(latency) < 10)
    if curve is not None:
        assert curve.pooled_ms == sorted(curve.pooled_ms)
        assert all(len(latency) >= samples_for(percent) for percent in curve.percent)
        assert curve.iterations_ms == [curve.pooled_ms]


# Histogram

LATENCIES = st.lists(st.integers(0, 36_000_000).map(lambda tenths: tenths / 10), min_size=1, max_size=200)


@given(LATENCIES)
def test_a_histogram_holds_every_sample_between_its_edges(latency: list[float]) -> None:
    result = histogram(case(part(latency)), 0.1)
    assert result is not None
    assert len(result.edges_ms) == len(result.counts) + 1
    assert result.counts[0] > 0
    assert result.counts[-1] > 0
    for low, high, number in zip(result.edges_ms, result.edges_ms[1:], result.counts, strict=False):
        assert number == sum(low <= value < high for value in latency)
    assert sum(result.counts) == len(latency)


@given(LATENCIES, LATENCIES)
def test_two_histograms_lie_over_each_other(one: list[float], other: list[float]) -> None:
    first, second = histogram(case(part(one)), 0.1), histogram(case(part(other)), 0.1)
    assert first is not None
    assert second is not None
    low, high = max(first.edges_ms[0], second.edges_ms[0]), min(first.edges_ms[-1], second.edges_ms[-1])
    shared = [[edge for edge in each.edges_ms if low <= edge <= high] for each in (first, second)]
    assert shared[0] == shared[1]


def test_edges_are_multiples_of_heys_step_and_bins_11_to_20_percent_wide() -> None:
    edges = histogram_edges(60_000, 0.1)
    assert all(round(edge * 10) / 10 == edge for edge in edges)
    above = [edge for edge in edges if edge >= 1]
    widths = [high / low - 1 for low, high in pairwise(above)]
    assert min(widths) > 0.11
    assert max(widths) < 0.2000001
    assert edges[-1] > 60_000


# Timeline


def test_a_stall_shows_as_empty_buckets() -> None:
    latency, ends = [10.0] * 40, [0.01 * (index + 1) + (0.3 if index >= 20 else 0.0) for index in range(40)]
    result = timeline(case(part(latency, offset_s=[round(end - 0.01, 4) for end in ends], status=[200] * 39 + [500])))
    assert result.bucket_s == 0.02
    (points,) = result.iterations
    assert [point.at_s for point in points] == [round(0.02 * index, 3) for index in range(len(points))]
    assert sum(point.ok for point in points) == 39
    assert sum(point.failed for point in points) == 1
    stalled = [point for point in points if 0.22 < point.at_s < 0.5]
    assert len(stalled) > 10
    assert all((point.ok, point.failed, point.p50_ms) == (0, 0, None) for point in stalled)


def test_a_timeline_sorts_by_completion_and_not_by_row() -> None:
    (points,) = timeline(case(part([900.0, 100.0, 200.0], offset_s=[0.0, 0.0, 0.1]))).iterations
    ended = {point.at_s: point.max_ms for point in points if point.ok}
    assert ended == {0.1: 100.0, 0.3: 200.0, 0.9: 900.0}


def test_iterations_share_the_bucket_and_a_silent_one_has_no_points() -> None:
    result = timeline(iterations(part([100.0] * 5), part([], sent=5), part([6000.0])))
    assert result.bucket_s == 0.2
    assert [len(points) for points in result.iterations] == [1, 0, 31]


@given(st.floats(0, 80_000))
def test_at_most_sixty_buckets_and_no_fewer_than_needed(longest_s: float) -> None:
    bucket = bucket_seconds(longest_s)
    assert int(longest_s / bucket) < 60
    assert bucket == 0.001 or longest_s / bucket >= 60 / 2.5 - 1e-6
