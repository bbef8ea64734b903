"""``utils/trend.py`` at its border, and what it says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from benchkit.model import Environment, RunStatus, Trend
from benchkit.verdict.stored_runs import read_history
from benchkit.verdict.trend import trend_of
from benchkit.verdict.trend_text import BARS, sparkline, trend_report
from builders.documents import environment
from builders.judged import elsewhere, measured, program, run_of, write_run
from builders.trends import LEVELS, released, store_runs


def trend(results: Path, metrics: tuple[str, ...] = ("p50_latency",), last: int = 200) -> Trend:
    return trend_of(read_history(results), "light", cases="*", metrics=metrics, last=last)


def show(results: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return program("trend.py", "--results-dir", results, *arguments)


def test_a_change_names_the_runs_and_releases_on_both_variants(tmp_path):
    found = trend(store_runs(tmp_path, 40, LEVELS, surroundings=released))
    by_case = {one.case: one for one in found.series}
    (point,) = by_case["tools/slower"].change_points
    assert (point.last_before.run_id, point.last_before.release) == ("light_run20", "1.0.6")
    assert (point.first_after.run_id, point.first_after.release) == ("light_run21", "1.0.7")
    assert (point.runs_before, point.runs_after) == (20, 20)
    low, high = point.interval
    assert low < point.change_percent < high < 0
    assert point.change_percent == pytest.approx(-25.0, abs=4.0)
    (better,) = by_case["resources/faster"].change_points
    assert better.change_percent == pytest.approx(20.0, abs=3.0)
    assert better.machine_percent == pytest.approx(25.0)
    assert (by_case["tools/steady"].change_points, by_case["tools/steady"].slide) == ([], None)


def test_a_slow_slide_is_a_slide_and_no_staircase(tmp_path):
    found = trend(store_runs(tmp_path, 40, LEVELS))
    slide = {one.case: one for one in found.series}["resources/slides"]
    assert slide.change_points == []
    assert slide.slide is not None
    assert slide.slide.per_ten_runs_percent == pytest.approx(-10.5, abs=2.0)
    assert slide.slide.total_percent == pytest.approx(-47.4, abs=6.0)
    assert slide.slide.interval[0] < slide.slide.total_percent < slide.slide.interval[1]
    assert (slide.slide.runs, slide.slide.since.run_id) == (40, "light_run1")
    assert slide.slide.q_value >= slide.slide.p_value


def test_throughput_gets_worse_downwards_and_the_worst_is_first(tmp_path):
    found = trend(store_runs(tmp_path, 40, LEVELS), metrics=("p50_latency", "requests_per_sec"))
    changes = [(one.case, one.metric) for one in found.series]
    assert changes[:4] == [
        ("resources/slides", "p50_latency"),
        ("resources/slides", "requests_per_sec"),
        ("tools/slower", "p50_latency"),
        ("tools/slower", "requests_per_sec"),
    ]
    assert changes[-1][0] == "resources/faster"
    rates = {one.case: one for one in found.series if one.metric == "requests_per_sec"}
    assert rates["tools/slower"].change_percent == pytest.approx(-20.0, abs=3.0)


def test_only_runs_of_the_newest_load_and_machine_count(tmp_path):
    def mixed(number: int) -> Environment:
        if number in (1, 2):
            return environment(requests=200)
        return elsewhere(environment(), machine={"cores": 8}) if number == 3 else environment()

    store_runs(tmp_path, 14, surroundings=mixed)
    write_run(tmp_path / "cut", run_of(measured(), number=20, status=RunStatus.INTERRUPTED))
    write_run(tmp_path / "copy", run_of(measured(), number=14))
    write_run(tmp_path / "other", run_of(measured(), number=21, profile="heavy"))
    found = trend(tmp_path, last=10)
    assert [run.run_id for run in found.runs] == [f"light_run{number}" for number in range(5, 15)]
    assert sorted(found.left_out) == [
        "1 interrupted",
        "1 older ones",
        "1 on another machine than the newest",
        "1 stored twice",
        "2 with another load than the newest",
    ]


def test_a_run_without_the_case_leaves_its_place_empty(tmp_path):
    store_runs(tmp_path, 12, LEVELS)
    write_run(tmp_path / "light_run6", run_of(measured("tools/steady"), number=6))
    found = {one.case: one for one in trend(tmp_path).series}
    assert found["tools/slower"].values[5] is None
    assert len(found["tools/slower"].values) == 12
    assert found["tools/slower"].problem == ""


def test_few_runs_say_how_many_are_needed(tmp_path):
    done = show(store_runs(tmp_path, 4))
    assert (done.returncode, done.stderr) == (0, "")
    text = " ".join(done.stdout.split())
    assert "Too few runs for a trend: a case has at most 4 runs, 8 are needed." in text
    assert "compare a run with its baseline" in text
    assert "tools/list" in text


def test_the_text(tmp_path, golden):
    text = trend_report(trend(store_runs(tmp_path, 40, LEVELS, surroundings=released)))
    golden("trend.txt", text)
    assert max(map(len, text.splitlines())) <= 100


def test_the_program_selects_and_writes_chart_data(tmp_path):
    store_runs(tmp_path / "results", 40, LEVELS)
    chart = tmp_path / "trend.json"
    done = show(tmp_path / "results", "--case", "tools/*", "--metric", "p95_latency", "--last", 30, "--json", chart)
    assert (done.returncode, done.stderr) == (0, "")
    document = Trend.model_validate_json(chart.read_text())
    assert {one.case for one in document.series} == {"tools/steady", "tools/slower"}
    assert {one.metric for one in document.series} == {"p95_latency"}
    assert len(document.runs) == 30
    assert all(len(one.values) == 30 for one in document.series)
    printed = show(tmp_path / "results", "--case", "tools/*", "--metric", "p95_latency", "--last", 30, "--json", "-")
    assert printed.stdout == chart.read_text()
    assert json.loads(printed.stdout)["schema_version"] == 1


def test_without_a_metric_those_that_gate_are_shown(tmp_path):
    store_runs(tmp_path, 9)
    document = json.loads(show(tmp_path, "--json", "-").stdout)
    assert [one["metric"] for one in document["series"]] == ["p50_latency", "requests_per_sec"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--profile", "heavy"], "holds no run of profile 'heavy'; runs of: light"),
        (["--case", "nothing/*"], "--case 'nothing/*': no run has figures"),
        (["--metric", "speed"], "there is no metric 'speed'"),
        (["--metric", "error_rate"], "error_rate is no ratio"),
        (["--last", "0"], "at least 1"),
        (["--profile", "nowhere"], "there is no profiles/nowhere.env"),
    ],
)
def test_wrong_usage_ends_with_2(tmp_path, arguments, words):
    done = show(store_runs(tmp_path, 2), *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_damaged_runs_are_named_and_stop_nothing(tmp_path):
    store_runs(tmp_path, 9)
    (tmp_path / "light_run3" / "run.json").write_text("{")
    done = show(tmp_path)
    assert done.returncode == 0
    assert "warning: left out:" in done.stderr
    assert "light_run3" in done.stderr
    assert "8 runs" in done.stdout


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([], ""),
        ([1.0], BARS[4]),
        ([1.0, None, 2.0], "▁ █"),
        ([None, None], "  "),
        ([float(number) for number in range(64)], None),
    ],
)
def test_a_sparkline_has_a_bar_for_each_value_or_median(values, bars):
    drawn = sparkline(values, columns=32)
    assert len(drawn) == min(len(values), 32)
    assert drawn == (bars if bars is not None else "".join(BARS[number // 4] for number in range(32)))
