"""The machine's noise record: what it holds, when it is used, and ``utils/noise.py`` at its border."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchkit.errors import ExitCode, UserError
from benchkit.model import NoiseRecord, Run, RunStatus, Validity, Verdict
from benchkit.settings import Baselines
from benchkit.verdict.compare import compare
from benchkit.verdict.noise import (
    DEFAULT_DEGREES,
    default_prior,
    make_record,
    misfit,
    prior_of,
    recorded_prior,
    visible_percent,
)
from builders.documents import STARTED, environment
from builders.judged import baseline_of, case_of, elsewhere, measured, program, run_of, write_run

LIMITS = Baselines(noise={"p50_latency": 8.0, "requests_per_sec": 15.0}, gate=["p50_latency"])
STEADY = {"p50_latency": 21.0, "error_rate": 0.0}


def runs(*medians: float, **changes: object) -> list[Run]:
    """One run for each p50 of tools/list; tools/call always has 40 ms."""
    return [
        run_of(measured(rounds=(p50,)), measured("tools/call", (40.0,)), number=number, **changes)
        for number, p50 in enumerate(medians, start=1)
    ]


def record(**deviation: float) -> NoiseRecord:
    """A record of six runs; names are cases of tools, values the deviation of their p50."""
    return NoiseRecord(
        profile="light",
        created=STARTED,
        environment=environment(),
        runs=[f"light_{number}" for number in range(6)],
        deviation={f"tools/{name}": {"p50_latency": value} for name, value in deviation.items()},
    )


def test_the_deviation_is_that_of_the_logarithms_between_runs():
    made = make_record(runs(20.0, 22.0, 21.0), "light")
    expected = float(np.std(np.log([20.0, 22.0, 21.0]), ddof=1))
    assert made.deviation["tools/list"]["p50_latency"] == pytest.approx(expected, abs=1e-6)
    assert made.deviation["tools/call"]["p50_latency"] == 0
    assert made.runs == ["light_run1", "light_run2", "light_run3"]
    assert "error_rate" not in made.deviation["tools/list"]


def test_the_same_runs_in_any_order_are_the_same_record():
    several = runs(20.0, 22.0, 21.0, 19.0)
    assert make_record(several, "light") == make_record([*several[::-1], several[0]], "light")


def test_a_case_that_is_seldom_valid_is_left_out():
    first, second, third = runs(20.0, 22.0, 21.0)
    bad = case_of("tools/call", validity=Validity.INVALID, reason="429")
    third = third.model_copy(update={"cases": [third.cases[0], bad]})
    assert set(make_record([first, second, third], "light").deviation) == {"tools/list"}


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"environment": environment(requests=200)}, ExitCode.USAGE, "its load is not that of run light_run1"),
        ({"environment": elsewhere(environment(), machine={"cores": 8})}, ExitCode.USAGE, "its machine is not"),
        ({"environment": elsewhere(environment(), target={"release": "2.0"})}, ExitCode.USAGE, "release 1.0.7 → 2.0"),
        ({"status": RunStatus.INTERRUPTED}, ExitCode.INVALID, "was interrupted"),
    ],
)
def test_runs_that_say_nothing_about_noise_are_refused(change, code, words):
    first, second, third = runs(20.0, 22.0, 21.0)
    with pytest.raises(UserError, match=words) as caught:
        make_record([first, second, third.model_copy(update=change)], "light")
    assert caught.value.exit_code == code


def test_too_few_runs_are_refused_and_the_same_one_counts_once():
    one, other = runs(20.0, 22.0)
    with pytest.raises(UserError, match="2 different runs are too few"):
        make_record([one, other, one], "light")


# ---------------------------------------------------------------------------------------------------------------------
# What is known before


@pytest.mark.parametrize(("requests", "expected"), [(100, 0.08), (200, 0.0566), (1000, 0.05), (5000, 0.05)])
def test_the_default_shrinks_with_the_requests_to_a_limit(requests, expected):
    prior = default_prior(LIMITS, "p50_latency", requests)
    assert (prior.deviation, prior.degrees) == (pytest.approx(expected, abs=1e-4), DEFAULT_DEGREES)


def test_a_metric_without_a_default_has_the_largest():
    assert default_prior(LIMITS, "p99_latency", 100).deviation == 0.15


def test_a_case_is_drawn_towards_the_others():
    noise = record(quiet=0.01, loud=0.09)
    quiet, loud = (
        recorded_prior(noise, "tools/quiet", "p50_latency"),
        recorded_prior(noise, "tools/loud", "p50_latency"),
    )
    pooled = math.sqrt((0.01**2 + 0.09**2) / 2)
    assert 0.01 < quiet.deviation < pooled < loud.deviation < 0.09
    assert quiet.degrees == loud.degrees == 5
    unknown = recorded_prior(noise, "tools/new", "p50_latency")
    assert (unknown.deviation, unknown.degrees) == (pytest.approx(pooled), 4)


def test_what_the_record_does_not_have_takes_the_default():
    noise = record(list=0.03)
    assert prior_of(noise, LIMITS, "tools/list", "p95_latency", 100) == default_prior(LIMITS, "p95_latency", 100)


def test_a_quiet_machines_record_makes_one_run_useful():
    baseline = baseline_of({"tools/list": STEADY})
    run = run_of(measured(rounds=(26.0,)))
    without = compare(run, baseline, LIMITS).cases[0]
    knowing = compare(run, baseline, LIMITS, record(list=0.02)).cases[0]
    assert (without.verdict, knowing.verdict) == (Verdict.INCONCLUSIVE, Verdict.REGRESSION)
    assert knowing.metrics["p50_latency"].detectable_percent < without.metrics["p50_latency"].detectable_percent


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (environment(requests=200), "its load differs: requests 200 → 100"),
        (None, "it was made on another machine: cores 8"),
    ],
)
def test_a_record_that_does_not_fit_is_not_used_and_told(other, words):
    elsewhere_made = other or elsewhere(environment(), machine={"cores": 8})
    noise = record(list=0.001).model_copy(update={"environment": elsewhere_made})
    run, baseline = run_of(measured(rounds=(26.0,))), baseline_of({"tools/list": STEADY})
    assert words in misfit(noise, run.environment)
    comparison = compare(run, baseline, LIMITS, noise)
    assert comparison.cases == compare(run, baseline, LIMITS).cases
    assert any(f"noise record is not used, {words}" in warning for warning in comparison.warnings)


def test_more_runs_and_less_noise_show_more():
    quiet, loud = (recorded_prior(record(list=noise), "tools/list", "p50_latency") for noise in (0.02, 0.08))
    seen = [visible_percent(quiet, "p50_latency", size, LIMITS, 40) for size in (1, 2, 5, 10)]
    assert seen == sorted(seen, reverse=True)
    assert all(10 < one < visible_percent(loud, "p50_latency", 10, LIMITS, 40) for one in seen)


# ---------------------------------------------------------------------------------------------------------------------
# The program


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Four runs of one gateway, and the first of them as the baseline."""
    for number, run in enumerate(runs(20.0, 20.4, 19.8, 20.1), start=1):
        write_run(tmp_path / f"run{number}", run)
    saved = program("baseline_manager.py", "save", tmp_path / "run1", "--baselines-dir", tmp_path / "baselines")
    assert saved.returncode == 0, saved.stderr
    return tmp_path


def noise_program(place: Path, *arguments: object) -> tuple[int, str, str]:
    done = program("noise.py", *arguments, "--baselines-dir", place / "baselines", environ=OWN)
    return done.returncode, done.stdout, done.stderr


OWN = {"PERF_CONFIG": str(Path(__file__).parents[2] / "config.yaml")}


def test_a_record_is_written_shown_and_used(place: Path) -> None:
    code, out, err = noise_program(place, "record", *[place / f"run{number}" for number in range(1, 5)])
    assert (code, err) == (0, "")
    path = place / "baselines" / "noise_light.json"
    assert json.loads(path.read_text())["runs"] == [f"light_run{number}" for number in range(1, 5)]
    assert f"Noise of 4 runs recorded: {path}" in out
    code, shown, err = noise_program(place, "show")
    assert (code, err) == (0, "")
    assert shown in out
    assert "p50" in shown
    assert "10 RUNS" in shown
    slower = write_run(place / "slower", run_of(measured(rounds=(27.0,)), measured("tools/call", (40.0,)), number=9))
    without = program("compare_results.py", slower, "--baselines-dir", place / "baselines", environ=OWN)
    assert without.returncode == 1, without.stdout
    path.unlink()
    done = program("compare_results.py", slower, "--baselines-dir", place / "baselines", environ=OWN)
    assert (done.returncode, "Inconclusive: " in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show"], "there is no noise record of profile 'light'; make noise makes one"),
        (["record", "run1", "run2"], "2 different runs are too few"),
        (["record", "run1", "run2", "nowhere"], "there is no such run"),
        (["record", "run1", "run2", "run3", "--profile", "../x"], "not a name"),
    ],
)
def test_a_mistake_is_one_line(place: Path, arguments: list[str], words: str) -> None:
    code, _, err = noise_program(
        place, *[place / one if "run" in one or one == "nowhere" else one for one in arguments]
    )
    assert code == 2
    assert words in err
    assert len(err.splitlines()) == 1
    assert not (place / "baselines" / "noise_light.json").exists()


def test_a_damaged_record_is_told_and_not_touched(place: Path) -> None:
    path = place / "baselines" / "noise_light.json"
    path.write_text("{")
    done = program("compare_results.py", place / "run2", "--baselines-dir", place / "baselines", environ=OWN)
    assert done.returncode == 2
    assert "the noise record is damaged" in done.stderr
    assert path.read_text() == "{"
