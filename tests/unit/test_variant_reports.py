"""Release history and the worth of settings: from the variants' runs to text, page and .env.example."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import history_report
import tune_report
from benchkit import store
from benchkit.errors import ExitCode, UserError, run_program
from benchkit.model import Comparison, MetricComparison, Run, StepComparison, Validity, VariantStudy, Verdict
from benchkit.report.chart_library import ChartLibrary
from benchkit.report.variants_page import variants_page
from benchkit.settings import ROOT, Variant
from benchkit.verdict.variant_study import history, load_variants, tune
from builders.judged import LIMITS
from builders.variants import FACTORS, TUNED, measured

LIBRARY = ChartLibrary("/* a chart library */")


def test_releases_are_held_against_the_one_before_and_the_last_against_the_first(tmp_path: Path) -> None:
    document = history(measured(tmp_path / "history_1"), LIMITS)
    assert [(step.base, step.head) for step in document.steps] == [
        ("1.0.5", "1.0.6"),
        ("1.0.6", "1.0.7"),
        ("1.0.5", "1.0.7"),
    ]
    assert [step.comparison.exit_code for step in document.steps] == [0, 1, 1]
    unchanged, slower, _ = document.steps
    assert unchanged.changed("p50_latency") == []
    ((case, change),) = slower.changed("p50_latency")
    assert (case, change.verdict) == ("tools/list", Verdict.CRITICAL)
    assert change.change_percent == pytest.approx(-50, abs=3)


def test_the_order_is_that_of_the_measurement_and_not_of_the_names(tmp_path: Path) -> None:
    directory = measured(tmp_path, {"1.0.9": (1.0, 1.0), "1.0.10": (1.0, 1.0)})
    assert [run.variant.label for run in load_variants(directory) if run.variant] == ["1.0.9", "1.0.10"]


def test_the_text_names_the_step_the_case_and_the_interval(tmp_path: Path) -> None:
    text = "\n".join(history_report.history_text(history(measured(tmp_path / "h"), LIMITS)))
    assert re.search(r"1\.0\.6 → 1\.0\.7: .*got worse", text)
    assert re.search(r"tools/list p50 +-[45]\d\.\d % +\(-\d\d\.\d to -\d\d\.\d %\) +critical", text)
    assert re.search(r"1\.0\.5 +2 +100 % +100 %", text)


def fail(directory: Path, label: str, case: int, validity: Validity, reason: str) -> None:
    """Take the figures of one case of one release away."""
    path = directory / label / "run.json"
    run = store.load(path, Run, "run")
    cases = list(run.cases)
    cases[case] = cases[case].model_copy(update={"validity": validity, "reason": reason, "metrics": {}})
    store.save(path, run.model_copy(update={"cases": cases}))


def exit_of(directory: Path, monkeypatch: pytest.MonkeyPatch) -> ExitCode:
    monkeypatch.setattr("sys.argv", ["history_report.py", str(directory)])
    return history_report.main()


def test_a_case_that_is_broken_in_some_releases_is_a_result_of_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = measured(tmp_path / "h")
    fail(directory, "1.0.5", 1, Validity.INVALID, "HTTP 404")
    fail(directory, "1.0.7", 1, Validity.INVALID, "an empty text")
    document = history(directory, LIMITS)
    assert document.variants[0].failed == {"gateway-core/health": "HTTP 404"}
    assert "gateway-core/health" not in document.variants[0].cases
    lines = history_report.history_text(document)
    assert "  gateway-core/health: broken in 1.0.5, 1.0.7" in lines
    assert "    1.0.7: an empty text" in lines
    assert "Not measured:" not in lines
    assert any("tools/list p50" in line for line in lines)  # and the others are told as ever
    assert document.variants[2].ratio_to(document.variants[0], "p50_latency") == pytest.approx(1.5, abs=0.03)
    assert exit_of(directory, monkeypatch) is ExitCode.OK
    page = (directory / "history.html").read_text("utf-8")
    assert "gateway-core/health is broken in 1.0.5, 1.0.7." in page
    assert "Got slower" in page
    assert "an empty text" in page


def test_a_case_that_is_broken_in_every_release_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = measured(tmp_path / "h")
    for label in FACTORS:
        fail(directory, label, 1, Validity.INVALID, "HTTP 404")
    assert exit_of(directory, monkeypatch) is ExitCode.INVALID
    text = (directory / "history.txt").read_text("utf-8")
    assert "gateway-core/health: broken in all gateways, so it is no difference between them" in text


def test_a_case_that_a_release_does_not_have_is_not_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = measured(tmp_path / "h")
    fail(directory, "1.0.5", 1, Validity.SKIPPED, "this release has no such path")
    lines = history_report.history_text(history(directory, LIMITS))
    assert "  1.0.5: gateway-core/health: this release has no such path" in lines
    assert "Broken:" not in lines
    assert exit_of(directory, monkeypatch) is ExitCode.OK
    assert "broken" not in (directory / "history.txt").read_text("utf-8")
    # The last one that has it is not measured alone, so nobody knows whether it is broken there as well.
    fail(directory, "1.0.6", 1, Validity.INVALID, "HTTP 500")
    fail(directory, "1.0.7", 1, Validity.SKIPPED, "no other gateway can measure it")
    assert exit_of(directory, monkeypatch) is ExitCode.OK
    assert "gateway-core/health: broken in 1.0.6\n" in (directory / "history.txt").read_text("utf-8")


def test_the_programs_write_documents_text_and_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = measured(tmp_path / "history_1")
    monkeypatch.setattr("sys.argv", ["history_report.py", str(directory)])
    assert history_report.main() is ExitCode.OK
    assert store.load(directory / "history.json", VariantStudy, "history").kind == "history"
    page = (directory / "history.html").read_text("utf-8")
    data = json.loads(re.findall(r'id="data">(.*?)</script>', page, flags=re.DOTALL)[0])
    overall, *cases = data["plots"]
    assert overall["labels"] == ["1.0.5", "1.0.6", "1.0.7"]
    assert overall["series"][0]["values"][0] == 100.0
    assert [len(case["series"]) for case in cases] == [2, 2]
    assert re.findall(r'<p class="over"><bdi>(.*?)</bdi>', page)[1:] == ["tools/<wbr>list", "gateway-core/<wbr>health"]
    assert "No case changed beyond doubt." in page
    assert "src=" not in page.replace("script-src", "").replace("style-src", "").replace("img-src", "").replace(
        "default-src", ""
    )
    before = (directory / "history.json").read_bytes()
    history_report.main()
    assert (directory / "history.json").read_bytes() == before


@pytest.mark.parametrize(("program", "kind"), [(history_report, "history"), (tune_report, "tune")])
def test_charts_that_are_switched_off_are_not_on_the_page(
    program: object, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = measured(tmp_path / kind, TUNED if kind == "tune" else FACTORS)
    config = (ROOT / "config.yaml").read_text("utf-8")
    assert "include_charts: true" in config
    (tmp_path / "config.yaml").write_text(config.replace("include_charts: true", "include_charts: false"), "utf-8")
    monkeypatch.setenv("PERF_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.setattr("sys.argv", ["program", str(directory)])
    program.main()  # type: ignore[attr-defined]
    page = (directory / f"{kind}.html").read_text("utf-8")
    assert "Charts are switched off (reporting.include_charts)." in page
    assert "<canvas" not in page


def test_a_name_that_is_markup_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = measured(tmp_path / "h")
    path = directory / "1.0.5" / "run.json"
    store.write_text(path, path.read_text("utf-8").replace("tools/list", "</script><script>alert(1)</script>"))
    monkeypatch.setattr("sys.argv", ["history_report.py", str(directory)])
    history_report.main()
    page = (directory / "history.html").read_text("utf-8")
    assert "<script>alert" not in page
    assert "alert(1)" in page


def plots_of(page: str) -> list[dict[str, Any]]:
    return json.loads(re.findall(r'id="data">(.*?)</script>', page, flags=re.DOTALL)[0])["plots"]


def test_a_step_that_changed_is_marked_between_its_releases(tmp_path: Path) -> None:
    _, changed, same = plots_of(variants_page(history(measured(tmp_path / "h"), LIMITS), LIBRARY))
    ((mark),) = changed["marks"]
    assert (mark["at"], mark["colour"]) == (1.5, "bad")
    assert re.fullmatch(r"p50 -[45]\d\.\d % \(-\d\d\.\d to -\d\d\.\d %\)", mark["label"])
    assert "marks" not in same


def test_intervals_are_those_of_the_change_from_the_release_before(tmp_path: Path) -> None:
    document = history(measured(tmp_path / "h"), LIMITS)
    _, changed, _ = plots_of(variants_page(document, LIBRARY))
    for series in changed["series"]:
        assert series["intervals"][0] is None
        for value, (low, high) in zip(series["values"][1:], series["intervals"][1:], strict=True):
            assert low < value < high
    before, after = changed["series"][0]["values"][1:]
    assert changed["series"][0]["intervals"][2][0] > before
    assert after == pytest.approx(1.5 * before, rel=0.05)


def test_settings_have_no_order_so_they_are_bars_without_marks(tmp_path: Path) -> None:
    for plot in plots_of(variants_page(tune(measured(tmp_path / "t", TUNED), LIMITS), LIBRARY)):
        assert (plot["kind"], plot.get("marks")) == ("bars", None)


def test_the_page_says_in_a_sentence_what_changed(tmp_path: Path) -> None:
    page = variants_page(history(measured(tmp_path / "h"), LIMITS), LIBRARY)
    assert "Got slower" in page
    assert "1 of 2 steps changed a case beyond doubt: 1.0.6 → 1.0.7." in page
    page = variants_page(
        history(measured(tmp_path / "same", {"1": (1.0, 1.0), "2": (1.0, 1.0)}), LIMITS),
        LIBRARY,
    )
    assert "No change found" in page


VARIANTS = {
    "logs": Variant(description="Log more", settings={"LOG_LEVEL": "INFO"}),
    "cache": Variant(settings={"CACHE": True}),
    "nothing": Variant(settings={"NOTHING": 1}),
    "not_measured": Variant(settings={"OTHER": 1}),
}


def test_each_setting_is_held_against_none(tmp_path: Path) -> None:
    document = tune(measured(tmp_path / "t", TUNED), LIMITS)
    assert [(step.base, step.head) for step in document.steps] == [
        ("base", "logs"),
        ("base", "cache"),
        ("base", "nothing"),
    ]
    words = {step.head: tune_report.effect(step) for step in document.steps}
    assert words["logs"].startswith("costs: p50 -29")
    assert words["cache"].startswith("helps: p50 +3")
    assert words["nothing"].startswith("no effect: p50 ")


@pytest.mark.parametrize(
    ("verdict", "interval", "words"),
    [
        (Verdict.UNCHANGED, (-1.0, 2.0), "no effect"),
        (Verdict.UNCHANGED, (0.4, 2.0), "at most a little"),
        (Verdict.UNCHANGED, (-3.0, -0.4), "at most a little"),
        (Verdict.INCONCLUSIVE, (-14.0, 2.0), "undecided"),
        (Verdict.INCONCLUSIVE, (0.4, 12.0), "probably helps"),
        (Verdict.INCONCLUSIVE, (-12.0, -0.4), "probably costs"),
        (Verdict.INCONCLUSIVE, None, "undecided"),
        (Verdict.SLOWER, (-4.0, -2.0), "costs"),
        (Verdict.IMPROVEMENT, (6.0, 9.0), "helps"),
    ],
)
def test_what_is_seen_within_the_threshold_is_an_effect(
    verdict: Verdict, interval: tuple[float, float] | None, words: str
) -> None:
    compared = MetricComparison(verdict=verdict, change_percent=sum(interval or ()) / 2, interval=interval)
    comparison = Comparison(
        run_id="r", suite={"p50_latency": compared}, verdict=verdict, reason="", exit_code=0, cases=[]
    )
    step = StepComparison(base="base", head="head", comparison=comparison)
    assert tune_report.effect(step).startswith(f"{words}: p50 ")


def test_what_helps_is_set_and_the_rest_is_a_comment(tmp_path: Path) -> None:
    lines = tune_report.env_lines(tune(measured(tmp_path / "t", TUNED), LIMITS), VARIANTS)
    assert "CACHE=true" in lines
    assert "# LOG_LEVEL=INFO" in lines
    assert "# NOTHING=1" in lines
    assert not [line for line in lines if "OTHER" in line]
    assert any(line.startswith("# Log more. costs: p50 -") for line in lines)
    assert max(map(len, lines)) <= 100


def test_tune_writes_the_settings_where_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = measured(tmp_path / "t", TUNED)
    target = tmp_path / "env"
    monkeypatch.setattr("sys.argv", ["tune_report.py", str(directory), "--env-file", str(target)])
    assert tune_report.main() is ExitCode.OK
    text = target.read_text("utf-8")
    assert text.startswith("# Settings of MCP Gateway")
    assert "\n# The gateway without it: " in text
    assert (directory / "tune.html").exists()


@pytest.mark.parametrize("program", [history_report, tune_report])
def test_a_directory_without_variants(
    program: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["program", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        run_program(program.main)  # type: ignore[attr-defined]
    assert ended.value.code == ExitCode.USAGE
    assert "contains 0 measured variants; at least two are needed" in capsys.readouterr().err


def test_fewer_than_two_variants(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains 1 measured variants"):
        load_variants(measured(tmp_path, {"1.0.7": (1.0, 1.0)}))
