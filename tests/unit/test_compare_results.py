"""``utils/compare_results.py`` at its border: exit codes, output, files."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchkit.model import Run, RunStatus, Validity
from benchkit.settings import ROOT
from builders.documents import environment
from builders.judged import case_of, config_without_noise, elsewhere, measured, program, run_of, write_run
from builders.paired import blocks_of, noisy, variant

FILES = {"comparison.json", "comparison_report.txt"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline of one run: tools/list and tools/call, p50 21 ms."""
    path = tmp_path_factory.mktemp("prepared")
    run = write_run(path / "first", run_of(measured(), measured("tools/call"), number=1))
    done = program("baseline_manager.py", "save", run, "--baselines-dir", path / "base lines")
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def place(prepared: Path, tmp_path: Path) -> Path:
    """A copy of ``prepared``, in a directory whose name has spaces."""
    return shutil.copytree(prepared, tmp_path / "a path with spaces")


def hold(place: Path, document: Run, *flags: object, directory: str = "base lines") -> subprocess.CompletedProcess[str]:
    """Write the run as ``place/run`` and compare it."""
    run = write_run(place / "run", document)
    return program("compare_results.py", run, "--baselines-dir", place / directory, *flags)


def written(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()} - {"run.json"}


BAD = case_of("tools/call", validity=Validity.INVALID, reason="Tool not found")
SKIPPED = case_of("tools/call", validity=Validity.SKIPPED, reason="release 0.7.0 has none")
ROWS: dict[str, tuple[Run, int, str]] = {
    "unchanged": (run_of(measured(), measured("tools/call"), number=2), 0, "Passed: no regression in 2 compared"),
    "improvement": (run_of(measured(rounds=(15.0,)), measured("tools/call"), number=2), 0, "1 better"),
    "new case": (run_of(measured(), measured("tools/call"), measured("tools/new"), number=2), 0, "1 without a ref"),
    "other target": (
        run_of(
            measured(),
            measured("tools/call"),
            number=2,
            environment=elsewhere(environment(), target={"release": "2.0"}),
        ),
        0,
        "gateway release 1.0.7 → 2.0",
    ),
    "not selected": (
        run_of(measured("mixed/a"), measured(), measured("tools/call"), number=2, scenarios=["mixed", "tools"]),
        0,
        "1 without a reference",
    ),
    "regression": (run_of(measured(rounds=(24.0,)), measured("tools/call"), number=2), 1, "Regression: 1 of 2"),
    "critical": (run_of(measured(rounds=(60.0,)), measured("tools/call"), number=2), 1, "(1 critical)"),
    "errors": (
        run_of(measured(errors=15), measured("tools/call"), number=2),
        1,
        "errors 0.00 → 5.00 %: 15 of 300 requests failed, 0 of 300 before",
    ),
    "regression and invalid": (run_of(measured(rounds=(60.0,)), BAD, number=2), 1, "1 invalid"),
    "another load": (
        run_of(measured(), number=2, environment=environment(concurrency=20)),
        2,
        "Not comparable: the load differs from the baseline's (concurrency 10 → 20)",
    ),
    "only new cases": (run_of(measured("mixed/a"), number=2), 2, "Nothing to compare"),
    "invalid": (run_of(measured(), BAD, number=2), 3, "Tool not found"),
    "missing": (run_of(measured(), number=2), 3, "the baseline has it, config.yaml does not"),
    "skipped": (run_of(measured(), SKIPPED, number=2), 3, "skipped: release 0.7.0 has none"),
    "no valid case": (run_of(BAD, number=2), 3, "Invalid: the run has no valid case"),
    "empty": (run_of(number=2), 3, "Invalid: the run has no valid case"),
    "interrupted": (
        run_of(measured(), measured("tools/call"), number=2, status=RunStatus.INTERRUPTED),
        3,
        "Invalid: the run was interrupted",
    ),
}


@pytest.mark.parametrize(("document", "exit_code", "words"), ROWS.values(), ids=ROWS.keys())
def test_exit_code_report_and_document_agree(place, document, exit_code, words):
    done = hold(place, document)
    assert (done.returncode, done.stderr) == (exit_code, "")
    assert words in done.stdout
    assert written(place / "run") == FILES
    assert (place / "run" / "comparison_report.txt").read_text() == done.stdout
    comparison = json.loads((place / "run" / "comparison.json").read_text())
    assert (comparison["run_id"], comparison["exit_code"]) == ("light_run2", exit_code)
    assert "NaN" not in (place / "run" / "comparison.json").read_text()


def test_the_same_comparison_twice_gives_the_same_bytes(place):
    document = run_of(measured(rounds=(24.0,)), BAD, number=2)
    contents = []
    for _ in range(2):
        assert hold(place, document).returncode == 1
        contents.append([(place / "run" / name).read_bytes() for name in sorted(FILES)])
    assert contents[0] == contents[1]


def test_the_threshold_comes_from_the_settings(place):
    run = write_run(place / "run", run_of(measured(rounds=(24.0,)), measured("tools/call"), number=2))
    environ = {"PERF_REGRESSION_THRESHOLD": "20", "BASELINES_DIR": str(place / "base lines")}
    assert program("compare_results.py", run, environ=environ).returncode == 0


def test_output_goes_elsewhere_when_asked(place):
    document = run_of(measured(), measured("tools/call"), number=2)
    assert hold(place, document, "--output-dir", place / "out" / "deep").returncode == 0
    assert (written(place / "run"), written(place / "out" / "deep")) == (set(), FILES)


def test_a_baseline_can_be_a_file_or_another_profile(place):
    document = run_of(measured(rounds=(24.0,)), measured("tools/call"), number=2)
    (place / "copy").mkdir()
    file = (place / "base lines" / "baseline_light.json").rename(place / "copy" / "kept.json")
    assert hold(place, document, "--baseline", file).returncode == 1
    run = write_run(place / "other", run_of(measured(rounds=(24.0,)), measured("tools/call"), number=1))
    program("baseline_manager.py", "save", run, "--profile", "slow", "--baselines-dir", place / "base lines")
    assert hold(place, document, "--baseline", "slow").returncode == 0


def test_without_a_baseline_it_says_how_to_save_one(place):
    done = hold(place, run_of(measured(), number=2), directory="none here")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"baseline_manager.py save {place / 'run'}" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert written(place / "run") == set()


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema_version": 7}', b"[1]"])
def test_a_damaged_baseline_is_told_and_not_touched(place, content):
    path = place / "base lines" / "baseline_light.json"
    path.write_bytes(content)
    for flags in ([], ["--save-initial"]):
        done = hold(place, run_of(measured(), number=2), *flags)
        assert done.returncode == 2
        assert "baseline_light.json: the baseline " in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert path.read_bytes() == content


def test_a_damaged_run_is_told(place):
    (place / "run").mkdir()
    (place / "run" / "run.json").write_text("{")
    done = program("compare_results.py", place / "run", "--baselines-dir", place / "base lines")
    assert done.returncode == 2
    assert "the run is damaged" in done.stderr


def test_a_result_that_cannot_be_written_is_told(place):
    (place / "in the way").write_text("a file")
    done = hold(place, run_of(measured(), number=2), "--output-dir", place / "in the way")
    assert done.returncode == 2
    assert "in the way: cannot be made: File exists" in done.stderr


# ---------------------------------------------------------------------------------------------------------------------
# The first run


def test_the_first_run_becomes_the_baseline_and_passes(place):
    first = hold(place, run_of(measured(), SKIPPED, number=2), "--save-initial", directory="new")
    assert first.returncode == 0
    assert first.stdout.startswith("Initial baseline saved: light, version 1, run light_run2: ")
    assert written(place / "run") == set()
    second = hold(place, run_of(measured(), SKIPPED, number=3), "--save-initial", directory="new")
    assert second.returncode == 0
    assert second.stdout.startswith("Passed: ")
    assert "version 1 (1 run)" in second.stdout


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (run_of(measured(), BAD, number=2), "not saved as the initial baseline, 1 of its 2 cases have no result"),
        (run_of(measured(), number=2, status=RunStatus.INTERRUPTED), "was interrupted"),
        (run_of(SKIPPED, number=2), "none of its 1 cases is valid"),
        (run_of(number=2), "none of its 0 cases is valid"),
    ],
)
def test_a_first_run_whose_work_did_not_happen_is_no_baseline(place, document, words):
    done = hold(place, document, "--save-initial", directory="new")
    assert done.returncode == 3
    assert words in done.stderr
    assert not (place / "new").exists()


def test_a_run_of_nothing_but_new_cases_joins_as_their_first(place):
    done = hold(place, run_of(measured("mixed/a"), number=2), "--save-initial")
    assert done.returncode == 0
    assert "Initial baseline saved: light, version 2" in done.stdout
    done = hold(place, run_of(measured("mixed/a"), number=3), "--save-initial")
    assert done.stdout.startswith("Passed: no regression in 1 compared case")


def test_saving_into_a_file_is_refused(place):
    done = hold(place, run_of(measured(), number=2), "--save-initial", "--baseline", place / "some.json")
    assert done.returncode == 2
    assert "--save-initial" in done.stderr


# ---------------------------------------------------------------------------------------------------------------------
# On a terminal


def on_terminal(run: Path, directory: Path, **environ: str) -> str:
    """What the program writes to a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, str(ROOT / "utils" / "compare_results.py"), str(run), "--baselines-dir", str(directory)]
    env = {"PATH": os.environ["PATH"], "TERM": "xterm", "PERF_CONFIG": config_without_noise(), **environ}
    with subprocess.Popen(command, stdout=theirs, env=env) as process:
        os.close(theirs)
        chunks = []
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # Linux ends a terminal without writers by EIO, others by an empty read.
                break
            if not chunk:
                break
            chunks.append(chunk)
        os.close(ours)
    assert process.returncode == 1
    return b"".join(chunks).decode().replace("\r\n", "\n")


def test_a_terminal_gets_colours_and_the_same_words(place):
    run = write_run(place / "run", run_of(measured(rounds=(24.0,)), BAD, number=2))
    text = on_terminal(run, place / "base lines")
    assert "\x1b[1;31mRegression: 1 of 1 compared case got worse" in text
    assert "\x1b" not in (run / "comparison_report.txt").read_text()
    without = on_terminal(run, place / "base lines", NO_COLOR="1")
    assert "\x1b[3" not in without
    assert "Regression: 1 of 1 compared case got worse" in without


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--what"]])
def test_wrong_usage_ends_with_2(arguments):
    assert program("compare_results.py", *arguments).returncode == 2


def test_what_noise_can_explain_is_inconclusive_and_fails_nothing(place: Path) -> None:
    run = write_run(place / "run", run_of(measured(rounds=(25.0,)), measured("tools/call"), number=2))
    own = {"PERF_CONFIG": str(ROOT / "config.yaml")}
    done = program("compare_results.py", run, "--baselines-dir", place / "base lines", environ=own)
    assert done.returncode == 0, done.stdout
    assert "inconclusive" in done.stdout
    compared = json.loads((run / "comparison.json").read_text("utf-8"))
    p50 = compared["cases"][0]["metrics"]["p50_latency"]
    assert (p50["verdict"], p50["detectable_percent"] > 10) == ("inconclusive", True)


# ---------------------------------------------------------------------------------------------------------------------
# Undecided, and joining


def test_inconclusive_exits_4_only_when_asked_and_joins_all_the_same(place: Path) -> None:
    run = write_run(place / "run", run_of(measured(rounds=(25.0,)), measured("tools/call"), number=2))
    own = {"PERF_CONFIG": str(ROOT / "config.yaml")}
    arguments = ("compare_results.py", run, "--baselines-dir", place / "base lines", "--join", "--fail-on-inconclusive")
    done = program(*arguments, environ=own)
    assert done.returncode == 4, done.stderr
    assert done.stdout.startswith("Inconclusive: no regression in 2 compared cases")
    assert json.loads((run / "comparison.json").read_text("utf-8"))["exit_code"] == 4
    assert "The run joined the baseline light: version 2, 2 runs" in done.stdout


def test_an_improvement_is_held_back_until_it_is_sustained(place: Path) -> None:
    versions = []
    for number in (2, 3, 4):
        run = run_of(measured(rounds=(15.0,)), measured("tools/call"), number=number)
        assert hold(place, run, "--join").returncode == 0
        baseline = json.loads((place / "base lines" / "baseline_light.json").read_text("utf-8"))
        versions.append([entry["cases"].get("tools/list", {}).get("p50_latency") for entry in baseline["runs"]])
    assert versions[:2] == [[21.0, None], [21.0, None, None]]
    assert 21.0 not in versions[2]
    assert versions[2].count(15.0) == 3


def test_what_is_better_in_one_metric_is_held_back_although_another_is_undecided(place: Path) -> None:
    # p99 gates and is as noisy as the noisiest that is named, so the case as a whole is inconclusive.
    data = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    data["baselines"]["noise"] = {"p50_latency": 0.1, "requests_per_sec": 30.0}
    data["baselines"]["gate"] = ["p50_latency", "p99_latency"]
    (place / "config.yaml").write_text(yaml.safe_dump(data), "utf-8")
    run = write_run(place / "run", run_of(measured(rounds=(10.0,)), measured("tools/call"), number=2))
    arguments = ("compare_results.py", run, "--baselines-dir", place / "base lines", "--join")
    done = program(*arguments, environ={"PERF_CONFIG": str(place / "config.yaml")})
    assert done.returncode == 0, done.stderr
    case = json.loads((run / "comparison.json").read_text("utf-8"))["cases"][0]
    assert (case["verdict"], case["metrics"]["p50_latency"]["verdict"]) == ("inconclusive", "improvement")
    newest = json.loads((place / "base lines" / "baseline_light.json").read_text("utf-8"))["runs"][-1]
    assert (list(newest["cases"]), list(newest["held_back"])) == (["tools/call"], ["tools/list"])


def test_what_all_cases_share_for_the_better_is_held_back_as_well(place: Path) -> None:
    names = [f"tools/case{number}" for number in range(10)]
    baselines, own = place / "many", {"PERF_CONFIG": str(ROOT / "config.yaml")}
    first = write_run(place / "first", run_of(*(measured(name) for name in names), number=1))
    held = ("--baselines-dir", baselines, "--join")
    assert program("compare_results.py", first, *held, environ=own).returncode == 0
    # All are much faster but the last, which is as it was.
    faster = [measured(name, (7.0,)) for name in names[:-1]]
    run = write_run(place / "faster", run_of(*faster, measured(names[-1]), number=2))
    done = program("compare_results.py", run, *held, environ=own)
    assert done.returncode == 0, done.stderr
    compared = json.loads((run / "comparison.json").read_text("utf-8"))
    assert compared["suite"]["p50_latency"]["verdict"] == "improvement"
    assert {case["verdict"] for case in compared["cases"]} == {"inconclusive"}
    newest = json.loads((baselines / "baseline_light.json").read_text("utf-8"))["runs"][-1]
    assert (list(newest["cases"]), list(newest["held_back"])) == ([names[-1]], names[:-1])


def test_a_regression_does_not_join(place: Path) -> None:
    done = hold(place, run_of(measured(rounds=(24.0,)), measured("tools/call"), number=2), "--join")
    assert done.returncode == 1
    assert json.loads((place / "base lines" / "baseline_light.json").read_text("utf-8"))["version"] == 1


# ---------------------------------------------------------------------------------------------------------------------
# Side by side


@pytest.mark.parametrize(("factor", "code", "words"), [(1.0, 0, "Passed: no regression"), (1.3, 1, "Critical regres")])
def test_two_gateways_side_by_side(tmp_path: Path, factor: float, code: int, words: str) -> None:
    base = write_run(tmp_path / "base", variant("base", blocks_of("tools/a", noisy(1, 50.0))))
    head = write_run(tmp_path / "head", variant("head", blocks_of("tools/a", noisy(2, 50.0 * factor))))
    done = program("compare_results.py", head, "--against", base, "--output-dir", tmp_path)
    assert (done.returncode, done.stderr) == (code, "")
    assert words in done.stdout
    assert "Head head-1.0 against base base-1.0, side by side" in done.stdout
    assert {"comparison.json", "comparison_report.txt"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("flags", [["--join"], ["--save-initial"], ["--baseline", "light"]])
def test_side_by_side_needs_no_baseline(tmp_path: Path, flags: list[str]) -> None:
    base = write_run(tmp_path / "base", variant("base", blocks_of("tools/a", noisy(1, 50.0))))
    done = program("compare_results.py", base, "--against", base, *flags)
    assert done.returncode == 2
    assert f"--against and {flags[0]}: two gateways side by side need no baseline" in done.stderr


def test_an_ordinary_run_has_no_other_variant(place: Path) -> None:
    run = write_run(place / "run", run_of(measured(), number=2))
    done = program("compare_results.py", run, "--against", run)
    assert done.returncode == 2
    assert "was not measured side by side with another gateway" in done.stderr
    assert len(done.stderr.splitlines()) == 1
