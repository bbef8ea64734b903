"""The program: exit codes, files, warnings, and when a browser opens."""

from __future__ import annotations

import subprocess
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path

import pytest

import report_generator
from benchkit import store
from benchkit.errors import run_program
from benchkit.model import Run
from benchkit.report import chart_library, output
from benchkit.settings import ROOT
from builders import documents
from builders.cost import relative_cost

PROGRAM = ROOT / "utils" / "report_generator.py"
Outcome = tuple[int, str, str]


@pytest.fixture(autouse=True)
def _library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file in the place of Chart.js; no profile of the caller's, and no desktop."""
    library = tmp_path / "chart.umd.js"
    library.write_text("/* a chart library */", encoding="utf-8")
    monkeypatch.setattr(chart_library, "CHART_LIBRARY", library)
    monkeypatch.delenv("PROFILE", raising=False)
    monkeypatch.setenv("CI", "true")


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "results" / "a run"
    directory.mkdir(parents=True)
    store.save(directory / "run.json", documents.run())
    return directory


@pytest.fixture
def generate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run the program with arguments, as on a terminal or not: exit code, stdout, stderr."""

    def call(*arguments: object, terminal: bool = True) -> Outcome:
        monkeypatch.setattr(sys, "argv", [str(PROGRAM), *map(str, arguments)])
        monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
        with pytest.raises(SystemExit) as end:
            run_program(report_generator.main)
        captured = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, captured.out, captured.err

    return call


def test_report_is_written_beside_the_run(run_dir: Path, generate: Callable[..., Outcome]) -> None:
    before = (run_dir / "run.json").read_bytes()
    assert generate(run_dir) == (0, f"{run_dir / 'report.html'}\n", "")
    text = (run_dir / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "/* a chart library */" in text
    assert "Not compared with a baseline." in text
    assert (run_dir / "run.json").read_bytes() == before


def test_comparison_is_used_where_it_is(run_dir: Path, generate: Callable[..., Outcome]) -> None:
    store.save(run_dir / "comparison.json", documents.comparison(documents.run(), {"tools/list_limit_50": -14.2}))
    assert generate(run_dir)[0] == 0
    assert "14.2 % worse" in (run_dir / "report.html").read_text(encoding="utf-8")


def test_comparison_of_another_run_is_refused(run_dir: Path, generate: Callable[..., Outcome]) -> None:
    other = documents.comparison(documents.run(), run_id="light_2020-01-01-000000")
    store.save(run_dir / "comparison.json", other)
    code, _, error = generate(run_dir)
    assert code == 2
    assert "the comparison is of run light_2020-01-01-000000" in error
    assert not (run_dir / "report.html").exists()


def test_output_goes_where_it_is_asked_to(run_dir: Path, tmp_path: Path, generate: Callable[..., Outcome]) -> None:
    output = tmp_path / "elsewhere.html"
    assert generate(run_dir, "--output", output)[:2] == (0, f"{output}\n")
    assert output.exists()
    assert not (run_dir / "report.html").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such run"),
        ("", "the run is empty"),
        ("{", "the run is damaged: not JSON"),
        ('{"schema_version": 99}', "schema_version 99"),
        ('{"schema_version": 1}', "the run is damaged: run_id"),
    ],
)
def test_damaged_run_is_one_line_and_leaves_the_old_report(
    run_dir: Path, generate: Callable[..., Outcome], content: str | None, message: str
) -> None:
    (run_dir / "report.html").write_text("the old one", encoding="utf-8")
    if content is None:
        (run_dir / "run.json").unlink()
    else:
        (run_dir / "run.json").write_text(content, encoding="utf-8")
    code, out, error = generate(run_dir)
    assert (code, out) == (2, "")
    assert message in error
    assert error.count("\n") == 1
    assert (run_dir / "report.html").read_text(encoding="utf-8") == "the old one"


def test_report_that_cannot_be_written(run_dir: Path, tmp_path: Path, generate: Callable[..., Outcome]) -> None:
    code, _, error = generate(run_dir, "--output", tmp_path / "no" / "such" / "place.html")
    assert code == 2
    assert "cannot be written: No such file or directory" in error


def test_without_the_chart_library_the_tables_are_there(
    run_dir: Path, generate: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(chart_library, "CHART_LIBRARY", tmp_path / "missing.js")
    code, _, error = generate(run_dir)
    assert code == 0
    assert error == (
        "warning: This report has tables only: Chart.js cannot be read (it is not installed). "
        "utils/setup.sh chartjs fetches it.\n"
    )
    text = (run_dir / "report.html").read_text(encoding="utf-8")
    assert "This report has tables only" in text
    assert "<canvas" not in text
    assert "list_<wbr>limit_<wbr>50" in text


def test_charts_can_be_switched_off(
    run_dir: Path, generate: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = (ROOT / "config.yaml").read_text(encoding="utf-8")
    assert "include_charts: true" in config
    (tmp_path / "config.yaml").write_text(config.replace("include_charts: true", "include_charts: false"), "utf-8")
    monkeypatch.setenv("PERF_CONFIG", str(tmp_path / "config.yaml"))
    assert generate(run_dir)[::2] == (0, "")
    text = (run_dir / "report.html").read_text(encoding="utf-8")
    assert "/* a chart library */" not in text
    assert "<canvas" not in text
    assert "Charts are switched off" in text


def test_template_that_does_not_work_is_one_line(
    run_dir: Path, generate: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text("{% for %}", encoding="utf-8")
    config = (ROOT / "config.yaml").read_text(encoding="utf-8")
    (tmp_path / "config.yaml").write_text(
        config.replace("utils/report_template.html", str(tmp_path / "page.html")), "utf-8"
    )
    monkeypatch.setenv("PERF_CONFIG", str(tmp_path / "config.yaml"))
    code, _, error = generate(run_dir)
    assert code == 2
    assert "page.html: the report's template does not work" in error


def test_help_and_usage() -> None:
    shown = subprocess.run([sys.executable, PROGRAM, "--help"], capture_output=True, text=True, check=False)
    assert shown.returncode == 0
    assert "--output FILE" in shown.stdout
    wrong = subprocess.run([sys.executable, PROGRAM], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2


# --- the browser -----------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a browser was asked to open; there is a desktop, and no CI."""
    urls: list[str] = []

    def record(url: str) -> bool:
        urls.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", record)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("PERF_OPEN_BROWSER", "true")
    monkeypatch.delenv("CI", raising=False)
    return urls


def test_browser_opens_where_there_is_a_desktop(
    run_dir: Path, generate: Callable[..., Outcome], opened: list[str]
) -> None:
    assert generate(run_dir)[0] == 0
    assert opened == [(run_dir / "report.html").as_uri()]


@pytest.mark.parametrize(("variable", "value"), [("DISPLAY", ""), ("CI", "true"), ("PERF_OPEN_BROWSER", "false")])
def test_browser_stays_closed(
    run_dir: Path,
    generate: Callable[..., Outcome],
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv(variable, value)
    assert generate(run_dir)[0] == 0
    assert opened == []
    assert generate(run_dir, "--open")[0] == 0
    assert len(opened) == 1


def test_browser_stays_closed_without_a_terminal(
    run_dir: Path, generate: Callable[..., Outcome], opened: list[str]
) -> None:
    assert generate(run_dir, terminal=False)[0] == 0
    assert opened == []


def test_no_open_wins_over_the_configuration(
    run_dir: Path, generate: Callable[..., Outcome], opened: list[str]
) -> None:
    assert generate(run_dir, "--no-open")[0] == 0
    assert opened == []


def test_a_browser_that_fails_does_not_fail_the_report(
    run_dir: Path, generate: Callable[..., Outcome], opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> bool:
        raise webbrowser.Error("no browser")

    monkeypatch.setattr(webbrowser, "open", fail)
    assert generate(run_dir)[::2] == (0, "warning: no browser could be opened\n")


def test_mac_always_has_a_desktop() -> None:
    assert output.has_desktop({}, "darwin")
    assert not output.has_desktop({"CI": "1"}, "darwin")
    assert output.has_desktop({"WAYLAND_DISPLAY": "wayland-0"}, "linux")


# --- size and time ---------------------------------------------------------------------------------------------------


def large_run() -> Run:
    cases = [documents.case(f"tools/case_{n}", seed=n, requests=1000, bucket_s=0.25) for n in range(30)]
    return documents.run(cases)


def test_report_of_30_cases_is_small_and_quick(tmp_path: Path) -> None:
    """At most 1 MB with Chart.js (some 210 kB), and little more time than Python takes to load."""
    run = large_run()
    store.save(tmp_path / "run.json", run)
    store.save(tmp_path / "comparison.json", documents.comparison(run))
    assert relative_cost([sys.executable, str(PROGRAM), str(tmp_path), "--no-open"]) < 7
    assert (tmp_path / "report.html").stat().st_size < 1_000_000 - 210_000
