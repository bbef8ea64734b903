"""``utils/ci_report.py`` at its border: files, stdout, exit codes."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import junitparser
import pytest

from benchkit import store
from benchkit.model import Comparison, PairedReference, Run, RunStatus, Verdict
from builders.documents import case, comparison, run
from builders.judged import program

FILES = {
    "all": {"junit.xml", "metrics.txt", "ci_summary.json", "ci_summary.md"},
    "github": set(),
    "gitlab": {"junit.xml", "metrics.txt"},
    "junit": {"junit.xml"},
    "openmetrics": {"metrics.txt"},
    "json": {"ci_summary.json", "ci_summary.md"},
}
QUIET = {"GITHUB_ACTIONS": "", "GITHUB_STEP_SUMMARY": ""}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A run that got worse, in a directory whose name has spaces."""
    document = run([case("tools/list"), case("tools/call")], exit_code=1, exit_reason="1 of 2 cases got worse")
    return written(tmp_path / "a run", document, comparison(document, {"tools/list": -12.5}))


def written(directory: Path, document: Run, compared: Comparison | None = None) -> Path:
    directory.mkdir(parents=True)
    store.save(directory / "run.json", document)
    if compared is not None:
        store.save(directory / "comparison.json", compared)
    return directory


def report(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return program("ci_report.py", *arguments, environ=QUIET | environ)


@pytest.mark.parametrize("name", FILES)
def test_each_format_writes_its_files_and_only_github_prints(place: Path, tmp_path: Path, name: str) -> None:
    done = report(place, "--format", name, "--output-dir", tmp_path / "new" / "place")
    assert done.returncode == 0
    assert {path.name for path in (tmp_path / "new" / "place").iterdir()} == FILES[name]
    assert done.stdout.startswith("::error title=regression%3A tools/list::") is (name == "github")
    assert (done.stdout == "") is (name != "github")
    assert done.stderr == "Regression: the worst of 2 cases is: regression (exit 1)\n"


def test_on_github_everything_is_written_and_annotated(place: Path, tmp_path: Path) -> None:
    summary = tmp_path / "step summary.md"
    summary.write_text("before\n", encoding="utf-8")
    done = report(place, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["::error", "::notice"]
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("before\n## MCP Gateway performance: Regression\n")
    assert {path.name for path in place.iterdir()} == FILES["all"] | {"run.json", "comparison.json"}


def test_the_step_summary_stays_within_what_github_takes(place: Path, tmp_path: Path) -> None:
    summary = tmp_path / "summary"
    summary.write_bytes(b"x" * (1024 * 1024 - 300))
    assert report(place, "--format", "github", GITHUB_STEP_SUMMARY=str(summary)).returncode == 0
    assert 1024 * 1024 - 300 < summary.stat().st_size <= 1024 * 1024


def test_the_summary_says_what_a_job_has_to_know(place: Path) -> None:
    assert report(place).returncode == 0
    summary = json.loads((place / "ci_summary.json").read_text(encoding="utf-8"))
    assert (summary["verdict"], summary["exit_code"], summary["mode"]) == ("regression", 1, "stored")
    assert summary["verdicts"] == {"regression": 1, "unchanged": 1}
    assert summary["outcomes"] == {"failed": 1, "error": 0, "skipped": 0, "passed": 1}
    assert [(found["id"], found["change_percent"]) for found in summary["cases"]] == [("tools/list", -12.5)]


def test_gitlab_splits_a_line_of_metrics_as_a_shell_does(place: Path) -> None:
    assert report(place, "--format", "openmetrics").returncode == 0
    lines = (place / "metrics.txt").read_text(encoding="utf-8").splitlines()
    split = [shlex.split(line) for line in lines if not line.startswith("#")]
    assert len(split) > 20
    assert all(len(words) == 2 and float(words[1]) is not None for words in split)


def test_a_first_run_is_measured(tmp_path: Path) -> None:
    document = run([case("tools/list")], exit_code=0, exit_reason="first run, saved as baseline")
    directory = written(tmp_path / "first", document)
    done = report(directory)
    assert (done.returncode, done.stderr) == (0, "Measured: first run, saved as baseline (exit 0)\n")
    document_read = junitparser.JUnitXml.fromfile(str(directory / "junit.xml"))
    assert (document_read.tests, document_read.failures, document_read.errors) == (1, 0, 0)


def test_an_interrupted_run_is_an_error_in_junit(tmp_path: Path) -> None:
    document = run([case("tools/list")], status=RunStatus.INTERRUPTED, exit_code=130, exit_reason="interrupted")
    directory = written(tmp_path / "cut", document)
    assert report(directory, "--format", "junit").returncode == 0
    assert junitparser.JUnitXml.fromfile(str(directory / "junit.xml")).errors == 1


def test_paired_runs_are_read_from_their_head(tmp_path: Path) -> None:
    document = run([case("tools/list")], run_id="head")
    place = tmp_path / "paired"
    written(place / "base", run([case("tools/list")], run_id="base"))
    written(place / "head", document)
    variants = PairedReference(run_id="base", base="1.0.6", head="1.0.7")
    store.save(
        place / "comparison.json",
        comparison(document, {"tools/list": -30.0}, mode="paired", baseline=None, paired=variants),
    )
    done = report(place)
    assert done.returncode == 0, done.stderr
    summary = json.loads((place / "ci_summary.json").read_text(encoding="utf-8"))
    assert (summary["mode"], summary["against"]) == ("paired", "1.0.7 against 1.0.6, block by block")
    assert (summary["run_id"], summary["verdict"], summary["exit_code"]) == ("head", Verdict.CRITICAL, 1)


def broken_run(place: Path) -> None:
    (place / "run.json").write_text("{", encoding="utf-8")


def broken_comparison(place: Path) -> None:
    (place / "comparison.json").write_text("{}", encoding="utf-8")


def foreign_comparison(place: Path) -> None:
    other = run([case("tools/list")], run_id="another")
    store.save(place / "comparison.json", comparison(other))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (broken_run, "run.json: the run is damaged: not JSON"),
        (broken_comparison, "comparison.json: the comparison has schema_version null"),
        (foreign_comparison, "belongs to run another"),
        (lambda place: (place / "run.json").unlink(), "run.json: there is no such run"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_nothing_is_written(place: Path, spoil, words: str) -> None:
    spoil(place)
    done = report(place)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr
    assert {path.name for path in place.iterdir()} <= {"run.json", "comparison.json"}


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    done = report(tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no such directory" in done.stderr


def test_an_output_that_cannot_be_written(place: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = report(place, "--output-dir", tmp_path / "file" / "deeper")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
