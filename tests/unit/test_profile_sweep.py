"""A run over several profiles: its state from step to step, the time told before, and what it ends with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit import store
from benchkit.errors import ExitCode, UserError, severity, worst_code
from benchkit.model import AllRuns, ProfileState, RunStatus, VariantOfRun
from benchkit.run.killed_runs import cut_short
from benchkit.run.profile_sweep import (
    begun,
    ended,
    expected,
    finished,
    next_profile,
    planned,
    planned_requests,
    resumed,
    span,
)
from benchkit.settings import Settings, load_settings
from benchkit.verdict.stored_runs import StoredRun, read_history
from builders.documents import STARTED
from builders.judged import program
from builders.sweeps import MEDIANS, document_of, entry, run_of_profile, write_profile

LATER = STARTED + timedelta(hours=1)


def settings_of(profile: str, **flags: str) -> Settings:
    given = {f"--{name}": value for name, value in flags.items()}
    return load_settings(flags=given, profile=profile, environ={})


# --- what several codes come to --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codes", "worst"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 4], 4),
        ([3, 4, 0], 3),
        ([3, 2], 2),
        ([2, 1, 3], 1),
        ([137, 3], 2),
        ([137, 1], 1),
        ([1, 130], 130),
        ([1, 143, 130], 130),
    ],
)
def test_the_worst_code_stands_for_all(codes: list[int], worst: int) -> None:
    assert worst_code(codes) == worst


@given(st.lists(st.sampled_from([*ExitCode, 137, 5]), min_size=1))
def test_a_regression_is_never_hidden(codes: list[int]) -> None:
    if ExitCode.REGRESSION in codes:
        assert worst_code(codes) in (ExitCode.REGRESSION, ExitCode.INTERRUPTED, ExitCode.TERMINATED)
    assert (worst_code(codes) == ExitCode.OK) == all(code == 0 for code in codes)
    assert severity(worst_code(codes)) == min(map(severity, codes))


# --- from step to step -----------------------------------------------------------------------------------------------


def test_profiles_are_measured_in_the_order_that_was_given() -> None:
    document = document_of(*planned([settings_of("medium"), settings_of("light")]))
    order = []
    while (following := next_profile(document)) is not None:
        order.append(following.profile)
        document = begun(document, following.profile, STARTED)
        assert [one.state for one in document.profiles].count(ProfileState.RUNNING) == 1
        document = ended(document, following.profile, LATER, 3, None)
    assert order == ["medium", "light"]
    assert document.is_complete
    whole = finished(document, LATER)
    assert (whole.exit_code, whole.reason) == (3, "invalid or missing cases in medium, light")


def test_a_profile_named_twice_is_refused() -> None:
    with pytest.raises(UserError, match="--profiles light,light: light is listed twice"):
        planned([settings_of("light"), settings_of("light")])


def test_how_a_run_ended_is_told_in_its_own_words(tmp_path: Path) -> None:
    write_profile(tmp_path, run_of_profile("light", exit_reason="passed: saved as the initial baseline"))
    running = begun(document_of(entry("light", None)), "light", STARTED)
    directory = tmp_path / "light_2026-03-02-093000"
    one = ended(running, "light", LATER, 0, directory).profiles[0]
    assert (one.run, one.reason, one.state) == (directory.name, "passed: saved as the initial baseline", "done")
    (directory / "run.json").write_text("{")
    one = ended(running, "light", LATER, 2, directory).profiles[0]
    assert one.reason.startswith(f"{directory.name}/run.json: the run is damaged")
    one = ended(running, "light", LATER, 2, tmp_path / "gone").profiles[0]
    assert (one.run, one.state) == ("", "done")
    assert one.reason.startswith("nothing was measured")
    assert ended(running, "light", LATER, 143, None).profiles[0].state is ProfileState.INTERRUPTED


def test_a_summary_names_the_worst_first() -> None:
    document = document_of(
        entry("light"), entry("medium", 3), entry("heavy", 137), entry("a", 2), entry("b", 1), entry("c", None)
    )
    assert finished(document, LATER).reason == (
        "regression in b; without a result: heavy, a; invalid or missing cases in medium; passed: light; "
        "not measured: c"
    )
    stopped = finished(document, LATER, 130)
    assert stopped.exit_code == 130
    assert stopped.reason.startswith("interrupted; regression in b")


# --- going on --------------------------------------------------------------------------------------------------------


def interrupted() -> AllRuns:
    profiles = planned([settings_of("light"), settings_of("medium"), settings_of("heavy")])
    profiles[0] = profiles[0].model_copy(update={"state": ProfileState.DONE, "exit_code": 0, "run": "light_1"})
    profiles[1] = profiles[1].model_copy(
        update={"state": ProfileState.INTERRUPTED, "exit_code": 130, "run": "medium_1", "reason": "cut"}
    )
    return document_of(*profiles, finished=LATER, exit_code=130, reason="interrupted", options={"--requests": "60"})


def go_on(given: Mapping[str, str] | None = None, **changed: str) -> AllRuns:
    wanted = planned([settings_of(name, **changed) for name in ("light", "medium", "heavy")])
    return resumed(interrupted(), Path("results/all_1"), given or {}, wanted)


def test_what_was_cut_short_is_measured_again_and_remembered() -> None:
    document = go_on()
    following = next_profile(document)
    assert following is not None
    assert (following.profile, following.state, following.run) == ("medium", "pending", "")
    assert (following.earlier, following.exit_code, following.reason) == (["medium_1"], None, "")
    assert document.profiles[0] == interrupted().profiles[0]
    assert (document.finished, document.exit_code, document.reason) == (None, None, "")
    again = document.model_copy(
        update={"profiles": [one.model_copy(update={"run": "x", "state": "interrupted"}) for one in document.profiles]}
    )
    assert resumed(again, Path("a"), {}, again.profiles).profiles[1].earlier == ["medium_1", "x"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"--requests": "61"}, "--requests 61: all_1 was begun with --requests 60"),
        ({"--iterations": "1"}, "--iterations 1: all_1 was begun with no --iterations"),
        ({"--profiles": "light"}, "--profiles light: all_1 was begun with --profiles light,medium,heavy"),
    ],
)
def test_other_options_than_the_begun_ones_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        go_on(given)


def test_the_same_options_are_fine() -> None:
    assert go_on({"--requests": "60", "--profiles": "light,medium,heavy"}).options == {"--requests": "60"}


def test_settings_that_changed_meanwhile_are_refused() -> None:
    with pytest.raises(UserError, match="profile medium: iterations changed from 3 to 1 since all_1 was begun"):
        go_on(iterations="1")
    with pytest.raises(UserError, match=r"profile medium: the gateway's address changed from http://127\.0\.0\.1:4444"):
        go_on(url="http://127.0.0.1:4545")


def test_nothing_is_left_of_a_complete_one() -> None:
    document = document_of(entry("light"), entry("medium", 2))
    with pytest.raises(UserError, match="results/all_1: nothing to resume"):
        resumed(document, Path("results/all_1"), {}, document.profiles)


# --- the time --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0, 3, "about 1 min"),
        (350, 360, "about 6 min"),
        (40 * 60, 90 * 60, "40-90 min"),
        (45 * 60, 2.2 * 3600, "45 min to 2.5 h"),
        (2.2 * 3600, 4.6 * 3600, "2-5 h"),
        (1.6 * 3600, 1.9 * 3600, "about 2 h"),
        (12.4 * 3600, 30 * 3600, "12-30 h"),
        (90, 118, "1-2 min"),
    ],
)
def test_times_are_no_more_exact_than_a_guess(low: float, high: float, words: str) -> None:
    assert span(low, high) == words


@given(st.floats(1, 1e6), st.floats(1, 20))
def test_a_time_in_words_is_never_too_short(low: float, ratio: float) -> None:
    words = span(low, low * ratio)
    number, unit = words.split()[-2:]
    most = float(number.rpartition("-")[2]) * {"min": 60, "h": 3600}[unit]
    assert most >= low * ratio * (1 - 1e-9)


def stored(tmp_path: Path, profile: str, number: int = 1, minutes: float = 5.0, **changes: Any) -> None:
    run = run_of_profile(
        profile,
        run_id=f"{profile}_run{number}",
        started=STARTED + timedelta(days=number),
        finished=STARTED + timedelta(days=number, minutes=minutes),
        load_seconds=minutes * 60 - 20,
        **changes,
    )
    write_profile(tmp_path, run)


def history(tmp_path: Path) -> list[StoredRun]:
    found = read_history(tmp_path)
    found.close()
    return found.runs


def test_without_any_run_the_guess_is_called_rough() -> None:
    guess = expected(settings_of("light"), [])
    assert guess.source.startswith("rough: no run is stored yet")
    assert guess.low_s < guess.high_s


def test_a_profile_takes_as_long_as_its_last_runs(tmp_path: Path) -> None:
    for number, minutes in enumerate((50.0, 4.0, 5.0, 6.0, 5.5, 4.5), start=1):
        stored(tmp_path, "light", number, minutes)
    settings = settings_of("light", scenarios="tools,gateway-core")
    same = [run.model_copy(update={"load": planned([settings])[0].load}) for run in history(tmp_path)]
    same = [run.model_copy(update={"scenarios": settings.scenarios}) for run in same]
    guess = expected(settings, same)
    # The oldest of six does not count; what no stored run tells of is added.
    assert (guess.low_s, guess.high_s) == (4 * 60 + 30, 6 * 60 + 30)
    assert guess.source == f"from its last 5 runs, the newest of {STARTED + timedelta(days=6):%Y-%m-%d}"


def test_more_requests_take_longer_in_proportion(tmp_path: Path) -> None:
    stored(tmp_path, "light")
    runs = history(tmp_path)
    once, twice = (expected(settings_of("light", requests=number), runs) for number in ("100", "200"))
    assert once.source.endswith(", scaled by requests")
    assert twice.high_s - 50 == pytest.approx(2 * (once.high_s - 50))
    assert once.high_s - 50 == pytest.approx(280 * planned_requests(settings_of("light")) / runs[0].sent)


def test_another_profile_is_a_guide_where_there_is_no_own(tmp_path: Path) -> None:
    stored(tmp_path, "light", 1)
    stored(tmp_path, "medium", 2)
    guess = expected(settings_of("heavy"), history(tmp_path))
    assert guess.source == f"from the medium run of {STARTED + timedelta(days=2):%Y-%m-%d}, scaled by requests"
    assert guess.high_s > 2 * guess.low_s


def test_runs_that_tell_nothing_of_the_time_are_left_out(tmp_path: Path) -> None:
    stored(tmp_path, "light", 1, status=RunStatus.INTERRUPTED)
    stored(tmp_path, "light", 2, failed=list(MEDIANS))
    stored(tmp_path, "light", 3, variant=VariantOfRun(label="head", spec="1.0.7", fresh=True, looks=1))
    runs = history(tmp_path)
    assert len(runs) == 3
    assert expected(settings_of("light"), runs).source.startswith("rough")
    stored(tmp_path, "light", 4)
    assert expected(settings_of("light"), history(tmp_path)).source.startswith("from its run of 2026-03-06")


def test_planned_requests_are_those_of_a_real_plan() -> None:
    # 100 requests a case and iteration, three iterations; concurrent cases share them.
    assert planned_requests(settings_of("light", scenarios="mixed")) == 300
    cases = settings_of("light").config.scenarios["tools"].cases.values()
    requests = sum(300 * case.share_of_requests for case in cases)
    assert planned_requests(settings_of("light", scenarios="tools")) == requests


# --- the program -----------------------------------------------------------------------------------------------------


def test_a_damaged_state_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text("{")
    done = program("profile_sweep_report.py", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "the run over all profiles is damaged" in done.stderr


def test_the_summary_is_one_screen(tmp_path: Path) -> None:
    write_profile(tmp_path, run_of_profile("light"), {})
    write_profile(tmp_path, run_of_profile("medium"), {"tools/list_limit_50": -31.0})
    directory = tmp_path / "all_1"
    directory.mkdir()
    document = finished(document_of(entry("light"), entry("medium", 1), entry("heavy", 2, run="")), LATER)
    store.save(directory / "all.json", document)
    done = program("profile_sweep_report.py", directory, "--no-html")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].endswith("regression in medium; without a result: heavy; passed: light")
    assert [line.split()[0] for line in lines[1:]] == ["profile", "medium", "heavy", "light"]
    assert "Critical regression" in lines[2]
    assert lines[2].split()[-9:] == ["6/6", "1", "1800", "4", "min", "10", "s", "1", "medium_2026-03-02-093000"]
    assert not (directory / "report.html").exists()


def test_one_that_is_stopped_keeps_what_is_done(tmp_path: Path) -> None:
    running = begun(document_of(entry("light"), entry("medium", None)), "medium", STARTED)
    (tmp_path / "all_1").mkdir()
    store.save(tmp_path / "all_1" / "all.json", running)
    assert cut_short(tmp_path / "all_1", 130) == ("interrupted in medium; passed: light; ./run-all.sh --resume goes on")
    document = store.load(tmp_path / "all_1" / "all.json", AllRuns, "whole")
    assert (document.exit_code, document.profiles[1].state) == (130, ProfileState.INTERRUPTED)
