"""A profiled run's document, summary and page: of the recorded run, and of runs that did not go well."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import profile_report
from benchkit import store
from benchkit.errors import UserError, run_program
from benchkit.model import RunStatus, Validity
from benchkit.model.cpu_profile import IDLE, Category, Flame, FlameNode, FrameName, FunctionTime, Profile
from benchkit.report import profile_text
from benchkit.report.profile_page import build_view, page_data, profile_page
from benchkit.run.killed_runs import cut_short
from benchkit.run.profile_report import profile_of
from benchkit.verdict.runs import load_run
from benchkit.verdict.stored_runs import read_history
from builders.cpu_profiles import recorded

Outcome = tuple[int, str, str]


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run the program: exit code, stdout, stderr."""

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["profile_report.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            run_program(profile_report.main)
        captured = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, captured.out, captured.err

    return call


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return recorded(tmp_path)


def answer(run: Path, number: int, status: int) -> None:
    """All answers of a round have this status."""
    path = run / "raw" / "tools" / f"list_limit_50.{number}.csv"
    path.write_text(re.sub(r",200,", f",{status},", path.read_text("utf-8")), "utf-8")


# --- the recorded run ------------------------------------------------------------------------------------------------


def test_the_recorded_run_blames_the_collector(run_dir: Path) -> None:
    profile = profile_of(run_dir)
    assert (profile.validity, profile.status, profile.exit_code) == (Validity.VALID, RunStatus.COMPLETE, 0)
    assert profile.gc_visible
    assert len(profile.stalls) == 2
    assert {stall.category for stall in profile.stalls} == {Category.GC}
    assert all(stall.path[0].function == "gc_collect_main" for stall in profile.stalls)
    assert profile.over[0].share_slow > 2 * profile.over[0].share_rest
    assert 2 <= profile.slow_requests <= 3, "one in a hundred, and who took as long"
    assert profile.sampled_requests == 200


def test_numbers_agree_with_each_other(run_dir: Path) -> None:
    profile = profile_of(run_dir)
    work = sum(one.seconds for one in profile.categories if one.category not in IDLE)
    assert work == pytest.approx(profile.working_s, abs=0.002)
    assert sum(one.share or 0.0 for one in profile.categories) == pytest.approx(1.0, abs=1e-4)
    assert profile.flame is not None
    assert profile.flame.total_ms == pytest.approx(1000 * profile.working_s, abs=2)
    spread = sum(value for one in profile.timeline for row in one.shares.values() for value in row)
    assert spread == pytest.approx(profile.working_s, abs=0.02)
    assert profile.sampler is not None
    with_it, without = (
        next(one.requests_per_sec for one in profile.rounds if one.sampled is sampled) for sampled in (True, False)
    )
    assert profile.sampler.rate_ratio == pytest.approx(with_it / without, abs=0.001)


def test_clocks_are_known(run_dir: Path) -> None:
    alignment = profile_of(run_dir).alignment
    assert alignment is not None
    assert 0 < alignment.uncertainty_ms < 150
    assert 0 <= alignment.moved_ms <= 300


def test_summary(run_dir: Path, golden: Callable[[str, object], None]) -> None:
    golden("profile/summary.txt", "\n".join(profile_text.summary(profile_of(run_dir))) + "\n")


def test_page_and_its_data(run_dir: Path, golden: Callable[[str, object], None]) -> None:
    profile = profile_of(run_dir)
    data = page_data(profile)
    assert isinstance(data["flame"], dict)
    # The whole of it is large; its beginning holds every kind of entry.
    data["flame"] = {key: value if key == "total" else value[:12] for key, value in data["flame"].items()}
    golden("profile/data.json", data)
    main = re.search(r"<main.*</main>", profile_page(profile), re.DOTALL)  # the head has the local time
    assert main is not None
    golden("profile/page.html", re.sub(r"\n\s*\n+", "\n", main.group()) + "\n")


def test_the_program_writes_and_prints(run_dir: Path, report: Callable[..., Outcome]) -> None:
    code, out, err = report(run_dir)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "Where the time goes: tools/list_limit_50 on gateway 1.0.7, sqlite"
    assert out.splitlines()[-1] == str(run_dir / "profile.html")
    assert max(len(line) for line in out.splitlines()[4:40] if line.startswith("  ")) < 600
    assert (run_dir / "profile.txt").read_text("utf-8") == out.rpartition(str(run_dir))[0]
    assert store.load(run_dir / "profile.json", Profile, "profile") == profile_of(run_dir)
    assert (run_dir / "profile.html").stat().st_size < 500_000


def test_a_profile_is_no_run(run_dir: Path, report: Callable[..., Outcome]) -> None:
    assert report(run_dir)[0] == 0
    history = read_history(run_dir.parent)
    try:
        assert (history.runs, history.damaged) == ([], [])
    finally:
        history.close()
    with pytest.raises(UserError, match="there is no such run"):
        load_run(run_dir)
    assert not (run_dir.parent / "latest").exists()


def test_no_path_of_the_machine(run_dir: Path, report: Callable[..., Outcome]) -> None:
    report(run_dir)
    document = (run_dir / "profile.json").read_text("utf-8")
    assert not re.findall(r'"place": "/', document)
    assert str(run_dir.parent) not in document


# --- runs that did not go well ---------------------------------------------------------------------------------------


def test_wrong_answers_nothing_is_said(run_dir: Path, report: Callable[..., Outcome]) -> None:
    answer(run_dir, 1, 500)
    answer(run_dir, 2, 500)
    code, out, _ = report(run_dir)
    assert code == 3
    assert "No profile can be shown" in out
    profile = store.load(run_dir / "profile.json", Profile, "profile")
    assert (profile.categories, profile.functions, profile.flame, profile.rounds) == ([], [], None, [])
    page = (run_dir / "profile.html").read_text("utf-8")
    assert "Invalid" in page
    assert "<canvas" not in page


def test_cut_short_what_was_sampled_is_kept_and_marked(run_dir: Path) -> None:
    (run_dir / "raw" / "tools" / "list_limit_50.2.json").unlink()
    assert cut_short(run_dir, 143) == "interrupted; what was sampled is kept and marked"
    assert "Interrupted" in (run_dir / "profile.txt").read_text("utf-8")
    assert not (run_dir / "run.json").exists()
    profile = store.load(run_dir / "profile.json", Profile, "profile")
    assert (profile.status, profile.exit_code) == (RunStatus.INTERRUPTED, 143)
    assert profile.categories
    assert (profile.stalls, profile.timeline, profile.slow_from_ms) == ([], [], None)
    assert "Interrupted" in (run_dir / "profile.html").read_text("utf-8")


def test_cut_short_before_anything_was_sampled(run_dir: Path) -> None:
    for path in run_dir.glob("raw/tools/list_limit_50.2.*"):
        path.unlink()
    cut_short(run_dir, 130)
    assert "Nothing was sampled" in (run_dir / "profile.txt").read_text("utf-8")


def test_a_round_whose_sampler_left_nothing(run_dir: Path, report: Callable[..., Outcome]) -> None:
    path = run_dir / "raw" / "tools" / "list_limit_50.2.samples.json"
    document = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(document | {"processes": []}), "utf-8")
    code, out, _ = report(run_dir)
    assert code == 3
    assert "py-spy took no sample" in out


@pytest.mark.parametrize("name", ["list_limit_50.2.samples.22372.trace.json.gz", "list_limit_50.2.samples.json"])
def test_a_damaged_recording_is_one_line(run_dir: Path, report: Callable[..., Outcome], name: str) -> None:
    (run_dir / "raw" / "tools" / name).write_bytes(b"{")
    code, _, err = report(run_dir)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert name in err


def test_a_directory_that_is_not_there(tmp_path: Path, report: Callable[..., Outcome]) -> None:
    code, _, err = report(tmp_path / "none")
    assert code == 2
    assert "there is no such directory" in err


# --- words -----------------------------------------------------------------------------------------------------------


def test_names_are_shown_as_they_are(run_dir: Path) -> None:
    name = "</script><script>alert('😀')</script>\u2028"
    frame = FrameName(function=name, place='mcpgateway/"x".py', line=1, category=Category.GATEWAY)
    profile = profile_of(run_dir).model_copy(
        update={
            "functions": [FunctionTime(frame=frame, self_s=1.0, total_s=2.0)],
            "flame": Flame(total_ms=5.0, frames=[frame], nodes=[FlameNode(frame=0, depth=0, ms=5.0)]),
        }
    )
    page = profile_page(profile)
    assert "<script>alert" not in page
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert block is not None
    assert json.loads(block.group(1))["flame"]["frames"][0][0] == name


def test_one_function_that_takes_much_is_named(run_dir: Path) -> None:
    profile = profile_of(run_dir)
    frame = FrameName(function="create_default_context", place="ssl.py", line=770, category=Category.OTHER)
    hot = FunctionTime(frame=frame, self_s=0.4 * profile.working_s, total_s=profile.working_s)
    assert "40 % by itself: create_default_context (ssl.py:770)" in profile_text.hot_sentence(
        profile.model_copy(update={"functions": [hot]})
    )
    small = hot.model_copy(update={"self_s": 0.01 * profile.working_s})
    assert profile_text.hot_sentence(profile.model_copy(update={"functions": [small]})) == ""


def test_where_collections_cannot_be_seen_the_page_says_so(run_dir: Path) -> None:
    profile = profile_of(run_dir)
    stall = profile.stalls[0].model_copy(update={"category": Category.DATABASE, "unchanged_ms": 900.0})
    blind = profile.model_copy(update={"gc_visible": False, "stalls": [stall]})
    assert any("may be garbage collection" in hint for hint in profile_text.hints(blind))
    assert "Garbage collection cannot be seen" in build_view(blind).limitations[0]
    assert not any("may be garbage collection" in hint for hint in profile_text.hints(profile))


@pytest.mark.parametrize(
    ("ratio", "words"), [(0.95, "throughput was 95 %"), (0.41, "times are longer"), (None, "was not measured")]
)
def test_the_cost_of_sampling_is_told(run_dir: Path, ratio: float | None, words: str) -> None:
    profile = profile_of(run_dir)
    assert profile.sampler is not None
    sampler = profile.sampler.model_copy(update={"rate_ratio": ratio})
    assert words in profile_text.cost_sentence(profile.model_copy(update={"sampler": sampler}))
