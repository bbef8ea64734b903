"""What a run asks of its shell after the load: which programs, in which order, and how it ends."""

from __future__ import annotations

import argparse
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchkit.run import session
from benchkit.run.cpu_profile import CpuProfileSession
from benchkit.run.options import parser_for
from benchkit.run.paired import PairedSession
from benchkit.run.session import RunSession, Shell
from benchkit.run.steps import End, NestedRun, Program, SetUp, Step, StepFailedError, StopMonitor, succeed
from benchkit.run.variants import Variant, Variants
from benchkit.settings import load_settings


def follow(steps: Generator[Step, list[int], End], codes: dict[str, int]) -> tuple[list[str], End]:
    """Do the steps as a shell would; each program ends with its code of ``codes`` (0)."""
    done = []
    answer: list[int] | None = None
    while True:
        try:
            step = next(steps) if answer is None else steps.send(answer)
        except StopIteration as stop:
            end: End = stop.value
            return done, end
        assert isinstance(step, Program)
        name, *rest = map(str, step.words)
        done.append(" ".join([name, *(Path(word).name if "/" in word else word for word in rest)]))
        answer = [codes.get(name, 0)]


@pytest.fixture(autouse=True)
def documents(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs write none here; what they say is tested in test_ended.py."""
    end = SimpleNamespace(line="as its documents say")
    monkeypatch.setattr(session, "last_word", lambda _directory: end)


SAID = "as its documents say"


def options(kind: str, *words: str) -> argparse.Namespace:
    return parser_for(kind, "run.sh").parse_args(words)


def judged(tmp_path: Path, *words: str, compared: bool = True, **codes: int) -> tuple[list[str], End]:
    run = RunSession(options("run", *words), Shell(1, tmp_path, None, ""))
    run._settings = load_settings(environ={})
    run._dir = tmp_path / "RUN"
    run._dir.mkdir()
    if compared:
        (run._dir / "comparison.json").write_text("{}")
    return follow(run._judge(), {f"{name}.py": code for name, code in codes.items()})


def test_a_run_is_collected_compared_and_reported(tmp_path: Path) -> None:
    done, end = judged(tmp_path)
    assert done == ["collect_results.py RUN", "compare_results.py RUN --join", "report_generator.py RUN"]
    assert (end.code, end.reason) == (0, SAID)


@pytest.mark.parametrize(
    ("words", "codes", "compared", "code", "reason"),
    [
        ("", {"compare_results": 1}, True, 1, SAID),
        ("", {"compare_results": 4}, True, 4, SAID),
        ("", {"compare_results": 2}, True, 2, "the comparison failed"),
        ("", {"compare_results": 137}, True, 137, "the comparison failed"),
        ("", {}, False, 0, "passed: saved as the initial baseline"),
        ("", {"collect_results": 3, "compare_results": 1}, True, 1, SAID),
        ("", {"collect_results": 3, "compare_results": 3}, True, 3, SAID),
        ("", {"report_generator": 2}, True, 0, SAID),
        ("--baseline save", {}, False, 0, "saved as baseline"),
        ("--baseline save", {"baseline_manager": 2}, False, 2, "it could not be saved as baseline"),
        ("--baseline skip", {}, False, 0, SAID),
        ("--baseline skip", {"collect_results": 3}, False, 3, SAID),
    ],
)
def test_how_a_run_ends(
    tmp_path: Path, words: str, codes: dict[str, int], compared: bool, code: int, reason: str
) -> None:
    _, end = judged(tmp_path, *words.split(), compared=compared, **codes)
    assert (end.code, end.reason) == (code, reason)
    if code == 1:
        assert end.comparison == tmp_path / "RUN" / "comparison.json"


def test_invalid_cases_are_not_saved(tmp_path: Path) -> None:
    done, end = judged(tmp_path, "--baseline", "save", collect_results=3)
    assert done == ["collect_results.py RUN", "report_generator.py RUN"]
    assert end.code == 3


def test_what_could_not_be_collected_ends_the_run(tmp_path: Path) -> None:
    done, end = judged(tmp_path, collect_results=2)
    assert (done, end.code) == (["collect_results.py RUN"], 2)


def test_without_a_report(tmp_path: Path) -> None:
    assert judged(tmp_path, "--no-report")[0][-1] == "compare_results.py RUN --join"


def paired(tmp_path: Path, *words: str, **codes: int) -> tuple[list[str], End]:
    run = PairedSession(options("paired", *words), Shell(1, tmp_path, None, ""))
    run._settings = load_settings(environ={})
    run._dir = tmp_path / "paired_2026-03-02-093000"
    run._dir.mkdir()
    (run._dir / "comparison.json").write_text("{}")
    run._variants = Variants(
        variants=[
            Variant(label=label, spec="1", kind="release", release="1", url="http://x", settings={}, place="x")
            for label in ("base", "head")
        ],
        servers_place="s",
        first_server_port=1,
    )
    return follow(run._judge(), {f"{name}.py": code for name, code in codes.items()})


PAIR = ("--base", "1.0.6", "--head", "1.0.7")


def test_two_gateways_are_collected_compared_and_reported(tmp_path: Path) -> None:
    done, end = paired(tmp_path, *PAIR, "--fail-on-inconclusive")
    run = "paired_2026-03-02-093000"
    assert done == [
        "collect_results.py base",
        "collect_results.py head",
        f"compare_results.py head --against base --output-dir {run} --fail-on-inconclusive",
        "report_generator.py head --comparison comparison.json --output report.html",
    ]
    assert (end.code, end.reason) == (0, SAID)
    assert (tmp_path / "latest").resolve() == tmp_path / run


@pytest.mark.parametrize(
    ("words", "codes", "last", "code", "reason"),
    [
        (PAIR, {"compare_results": 1}, "report_generator", 1, SAID),
        (PAIR, {"collect_results": 3}, "report_generator", 3, SAID),
        (PAIR, {"collect_results": 2}, "collect_results", 2, "the run could not be collected"),
        (("--releases", "1 2"), {"collect_results": 3}, "history_report", 0, SAID),
        (
            ("--releases", "1 2"),
            {"history_report": 3},
            "history_report",
            3,
            SAID,
        ),
        (("--tune",), {"collect_results": 3}, "tune_report", 3, SAID),
    ],
)
def test_how_a_comparison_of_gateways_ends(
    tmp_path: Path, words: tuple[str, ...], codes: dict[str, int], last: str, code: int, reason: str
) -> None:
    done, end = paired(tmp_path, *words, **codes)
    assert done[-1].startswith(f"{last}.py")
    assert (end.code, end.reason) == (code, reason)


def test_tuned_settings_go_to_a_file(tmp_path: Path) -> None:
    assert paired(tmp_path, "--tune", "--env-file", "env")[0][-1].endswith("--env-file env")


@pytest.mark.parametrize(
    ("code", "reason"), [(0, "sampled"), (3, "invalid: nothing is said about where the time went")]
)
def test_a_cpu_profile_has_neither_baseline_nor_comparison(tmp_path: Path, code: int, reason: str) -> None:
    run = CpuProfileSession(options("cpu-profile", "--case", "tools/a"), Shell(1, tmp_path, None, ""))
    run._dir = tmp_path / "RUN"
    done, end = follow(run._judge(), {"profile_report.py": code})
    assert done == ["profile_report.py RUN"]
    assert (end.code, end.reason, end.comparison) == (code, reason, None)


def test_a_program_that_a_run_needs_ends_it() -> None:
    step = succeed(Program(["stack.py", "ensure"]))
    next(step)
    with pytest.raises(StepFailedError) as failure:
        step.send([2])
    assert failure.value.code == 2


def test_what_the_shell_is_told() -> None:
    assert Program(["a.py", Path("/x y")], output="err").fields() == ["program", "err", "2", "a.py", "/x y"]
    assert SetUp("1.0.6", "").fields() == ["setup", "1.0.6", ""]
    assert NestedRun(Path("/f"), ["--profile", "light"]).fields() == ["nested", "/f", "2", "--profile", "light"]
    assert StopMonitor().fields() == ["stop-monitor"]
    assert End(3, "invalid").fields() == ["end", "3", "", "invalid"]
