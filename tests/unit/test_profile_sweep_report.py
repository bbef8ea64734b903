"""The report over several profiles: what it shows, from the documents alone, and when a browser opens."""

from __future__ import annotations

import json
import re
import sys
import webbrowser
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import profile_sweep_report
from benchkit import store
from benchkit.errors import run_program
from benchkit.model import AllRuns, Comparison, MetricComparison, ProfileState, Validity, Verdict
from benchkit.number_format import ABSENT, MINUS
from benchkit.plain import without_controls
from benchkit.report import chart_library
from benchkit.report.chart_library import ChartLibrary
from benchkit.report.charts import Plots
from benchkit.report.profile_sweep_page import build_frame, build_page
from benchkit.run.profile_sweep import documents_of, summary_lines
from builders.documents import HOSTILE_NAMES, case, comparison, failed_case
from builders.sweeps import ALL_ID, document_of, entry, run_of_profile, write_all, write_profile

LIBRARY = ChartLibrary("/* a chart library */")


@pytest.fixture(autouse=True)
def _library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file in the place of Chart.js; no profile of the caller's, no desktop, one time zone."""
    library = tmp_path / "chart.umd.js"
    library.write_text("/* a chart library */", encoding="utf-8")
    monkeypatch.setattr(chart_library, "CHART_LIBRARY", library)
    monkeypatch.delenv("PROFILE", raising=False)
    monkeypatch.setenv("CI", "true")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "the results"
    path.mkdir()
    return path


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the program, as on a terminal: exit code, stdout, stderr."""

    def call(directory: Path, *flags: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["profile_sweep_report.py", str(directory), *flags])
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        with pytest.raises(SystemExit) as end:
            run_program(profile_sweep_report.main)
        captured = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, captured.out, captured.err

    return call


class _Tables(HTMLParser):
    """The texts of all cells, a line for each row, with plain values in brackets and addresses of links."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._cell: list[str] | None = None
        self._row: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("td", "th", "caption"):
            self._cell = [f"[{values['data-value']}] "] if values.get("data-value") else []
        elif tag == "tr":
            self._row = []
        elif tag == "a" and self._cell is not None:
            self._cell.append(f"<{values['href']}> ")

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self._row.append("".join(self._cell).strip())
            self._cell = None
        elif tag == "tr":
            self.lines.append(" | ".join(self._row))
        elif tag == "caption" and self._cell is not None:
            self.lines += ["", "".join(self._cell).strip()]
            self._cell = None


def tables(page: str) -> str:
    parser = _Tables()
    parser.feed(page)
    return "\n".join(parser.lines).strip() + "\n"


def data_of(page: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(re.findall(r'id="data">(.*?)</script>', page, flags=re.DOTALL)[0])
    return data


def test_tables_and_data_are_these(
    results: Path, report: Callable[..., tuple[int, str, str]], golden: Callable[[str, object], None]
) -> None:
    directory = write_all(results)
    code, out, err = report(directory)
    assert (code, out.splitlines()[-1], err) == (0, str(directory / "report.html"), "")
    page = (directory / "report.html").read_text("utf-8")
    golden("report/profile_sweep_tables.txt", tables(page))
    golden("report/profile_sweep_data.json", data_of(page))
    assert str(results) not in page


def test_what_got_worse_stands_before_what_is_invalid_and_critical_is_first(results: Path) -> None:
    directory = write_all(results)
    document = store.load(directory / "all.json", AllRuns, "whole")
    profiles = [documents_of(results, one) for one in document.profiles]
    frame, page = build_frame(document, profiles), build_page(document, profiles, Plots(LIBRARY))
    assert (frame.word, frame.tone) == ("Critical regression", "bad")
    assert frame.sentence == "Regression in medium; without a result: heavy; passed: light."
    words = [row.verdict.word for row in page.worse]
    assert words == sorted(words)
    assert set(words) == {"critical", "regression"}
    assert [(row.profile, row.case) for row in page.problems] == [("heavy", ""), ("medium", "tools/call_convert_time")]


def test_a_slow_slide_is_among_what_got_worse(results: Path) -> None:
    run = run_of_profile("light")
    write_profile(results, run, {})
    path = results / run.run_id / "comparison.json"
    compared = store.load(path, Comparison, "comparison")
    slid = MetricComparison(verdict=Verdict.REGRESSION, change_percent=-14.0, interval=(-19.0, -9.04))
    first = compared.cases[0].model_copy(update={"since_oldest": {"p50_latency": slid}})
    store.save(path, compared.model_copy(update={"cases": [first, *compared.cases[1:]]}))
    document, profiles = document_of(entry("light", 1)), [documents_of(results, entry("light", 1))]
    (row,) = build_page(document, profiles, Plots(LIBRARY)).worse
    assert (row.metric, row.interval.replace(MINUS, "-")) == ("p50 ms since the oldest runs", "-19.0 to -9.0 %")


def test_what_only_all_cases_together_show_is_among_what_got_worse(results: Path) -> None:
    run = run_of_profile("light")
    write_profile(results, run, {})
    path = results / run.run_id / "comparison.json"
    worse = MetricComparison(verdict=Verdict.CRITICAL, change_percent=-41.0, interval=(-60.0, -28.0))
    slid = worse.model_copy(update={"verdict": Verdict.REGRESSION, "change_percent": -20.0})
    changed = {
        "suite": {"p50_latency": worse},
        "suite_since_oldest": {"p50_latency": slid},
        "verdict": Verdict.CRITICAL,
        "exit_code": 1,
    }
    store.save(path, store.load(path, Comparison, "comparison").model_copy(update=changed))
    document, profiles = document_of(entry("light", 1), exit_code=1), [documents_of(results, entry("light", 1))]
    assert build_frame(document, profiles).word == "Critical regression"
    page = build_page(document, profiles, Plots(LIBRARY))
    rows = [(row.case, row.link, row.metric, row.verdict.word) for row in page.worse]
    together = "all cases together"
    assert rows[0] == (together, "", "p50 ms", "critical")
    assert rows[1] == (together, "", "p50 ms since the oldest runs", "regression")
    assert "all" in summary_lines(document, profiles)[2].split()


def test_an_invalid_case_is_a_gap_and_never_zero(results: Path) -> None:
    directory = write_all(results)
    document = store.load(directory / "all.json", AllRuns, "whole")
    profiles = [documents_of(results, one) for one in document.profiles]
    page = build_page(document, profiles, Plots(LIBRARY))
    lines = {
        (drawn.plot.caption, one.label): one.values
        for _, both in page.charts
        for drawn in both
        for one in drawn.plot.series
    }
    assert [value is None for value in lines["p95, ms", "call_convert_time"]] == [False, True, True]
    assert [value is None for value in lines["req/s", "list_limit_50"]] == [False, False, True]
    assert ("req/s", "overhead_rpc") not in lines
    assert page.table is not None
    groups = [group for _, rows in page.table.scenarios for row in rows for group in row.groups]
    invalid = [group for group in groups if group.state.word == "invalid"]
    assert [[one.cell.text for one in group.entries] for group in invalid] == [[ABSENT] * 3]


def test_profiles_are_charted_by_their_concurrency(results: Path) -> None:
    for profile in ("heavy", "light"):
        write_profile(results, run_of_profile(profile))
    profiles = [documents_of(results, entry(name)) for name in ("heavy", "light")]
    _, (drawn, _) = build_page(document_of(entry("heavy")), profiles, Plots(LIBRARY)).charts[0]
    assert drawn.plot.labels == [["light", "10 concurrent"], ["heavy", "200 concurrent"]]


@pytest.mark.parametrize(
    ("profiles", "word"),
    [
        ([entry("light")], "Passed"),
        ([entry("light"), entry("medium", 3)], "Invalid"),
        ([entry("light", 2, run="")], "Failed"),
        ([entry("light"), entry("medium", None)], "Running"),
        ([entry("light"), entry("medium", 130, state=ProfileState.INTERRUPTED)], "Interrupted"),
    ],
)
def test_the_verdict_says_what_came_out(results: Path, profiles: list[Any], word: str) -> None:
    codes = [one.exit_code for one in profiles]
    document = document_of(*profiles, exit_code=max(code or 0 for code in codes) if None not in codes else None)
    assert build_frame(document, [documents_of(results, one) for one in profiles]).word == word


def test_a_run_that_cannot_be_read_leaves_the_others_in(
    results: Path, report: Callable[..., tuple[int, str, str]]
) -> None:
    directory = write_all(results)
    (results / "medium_2026-03-02-093000" / "run.json").write_text("{")
    assert report(directory)[0] == 0
    page = (directory / "report.html").read_text("utf-8")
    assert "medium_2026-03-02-093000/run.json: the run is damaged" in page
    assert "list_<wbr>limit_<wbr>50" in page
    assert str(results) not in page


def test_names_that_are_markup_run_nothing(results: Path, report: Callable[..., tuple[int, str, str]]) -> None:
    cases = [case(f"tools/{n}", id=name, scenario=name, name=name) for n, name in enumerate(HOSTILE_NAMES)]
    cases += [failed_case(f"x/{name}", name) for name in HOSTILE_NAMES]
    run = run_of_profile("light").model_copy(update={"cases": cases})
    write_profile(results, run)
    moved = dict.fromkeys(HOSTILE_NAMES, -40.0)
    store.save(results / run.run_id / "comparison.json", comparison(run, moved, reason=HOSTILE_NAMES[0]))
    directory = results / ALL_ID
    directory.mkdir()
    store.save(directory / "all.json", document_of(entry("light", 1, reason=HOSTILE_NAMES[0]), exit_code=1, reason="x"))
    assert report(directory)[0] == 0
    page = (directory / "report.html").read_text("utf-8")
    assert "<script>window" not in page
    assert "<img" not in page
    assert "<svg" not in page
    labels = [plot["series"][0]["label"] for plot in data_of(page)["plots"]]
    assert set(without_controls([name.partition("/")[2] or name for name in HOSTILE_NAMES])) <= set(labels)


def test_skipped_cases_are_told_and_count_nowhere(results: Path) -> None:
    cases = [case("tools/a"), failed_case("tools/b", "this release has none", Validity.SKIPPED, sent=0)]
    write_profile(results, run_of_profile("light").model_copy(update={"cases": cases}))
    document, profiles = document_of(entry("light"), exit_code=0), [documents_of(results, entry("light"))]
    assert ("Cases valid", "1 of 1") in build_frame(document, profiles).facts
    rows = build_page(document, profiles, Plots(LIBRARY)).problems
    assert [(row.case, row.state.word) for row in rows] == [("tools/b", "skipped")]


@pytest.mark.parametrize(("content", "message"), [(None, "there is no such run over all profiles"), ("{", "damaged")])
def test_without_a_state_there_is_no_report(
    results: Path, report: Callable[..., tuple[int, str, str]], content: str | None, message: str
) -> None:
    if content:
        (results / "all.json").write_text(content)
    code, out, error = report(results)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert message in error


def test_without_the_chart_library_the_tables_are_there(
    results: Path, report: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chart_library, "CHART_LIBRARY", results / "missing.js")
    directory = write_all(results)
    assert report(directory)[0] == 0
    page = (directory / "report.html").read_text("utf-8")
    assert "<canvas" not in page
    assert "This report has tables only" in page


def test_a_browser_opens_where_there_is_a_desktop_and_never_in_ci(
    results: Path, report: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("PERF_OPEN_BROWSER", raising=False)
    directory = write_all(results)
    assert report(directory)[0] == 0
    assert opened == []
    monkeypatch.delenv("CI")
    assert report(directory)[0] == 0
    assert opened == [(directory / "report.html").resolve().as_uri()]
    assert report(directory, "--no-open")[0] == 0
    assert len(opened) == 1
