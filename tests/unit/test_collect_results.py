"""The program: from a run directory to run.json, text summaries, a table and an exit code."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from benchkit.model import Case, PlannedDifference, Run
from benchkit.store import dump, load
from builders.cost import relative_cost
from builders.raw_runs import Answer, Measured, RunDirectory, good, planned, steady

PROGRAM = Path(__file__).parents[2] / "utils" / "collect_results.py"
FIXTURES = Path(__file__).parents[1] / "fixtures" / "hey"


def collect(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | (env or {}))


def mark(run_dir: Path, code: int) -> subprocess.CompletedProcess[str]:
    """What the runner's shell does with a run that ended early."""
    command = [sys.executable, str(PROGRAM.with_name("mark_interrupted.py")), str(run_dir), str(code)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def document(run_dir: Path) -> Run:
    return load(run_dir / "run.json", Run, "run")


def example(path: Path) -> Path:
    """A run with something of everything."""
    directory = RunDirectory(path)
    directory.add(planned("list"), good(), good(12.0))
    limited = Measured([[*steady(11), *(Answer(0.4, 429, 80.0) for _ in range(9))]])
    directory.add(planned("call", counter="call", gateway_kind="tools"), limited, limited)
    directory.add(planned("old", skipped="release 0.7.0 has no tools/call"))
    core: dict[str, Any] = {"scenario": "gateway-core"}
    quick = Measured([[Answer(0.4, 200, index * 0.5) for index in range(1000)]], sent=1000)
    directory.add(planned("health", requests=1000, **core), quick, quick)
    for name, latency in (("call_direct", 4.0), ("call_rpc", 10.0)):
        directory.add(planned(name, **core), good(latency), good(latency + 1))
    spread = replace(good(20.0), answers=[steady(20, 20.0)] * 2, calls=(20,), failures=(0,))
    directory.add(planned("tools_call", scenario="mixed", parts=2, group="mixed", counter="c"), spread, spread)
    longer = replace(good(40.0), delays_s=(0.1,))
    directory.add(planned("prompts_get", scenario="mixed", group="mixed"), longer, longer)
    directory.gateway_counts((44, 0), (26, 0))
    return directory.finish(
        PlannedDifference(
            id="gateway-core/overhead_rpc",
            scenario="gateway-core",
            name="overhead_rpc",
            description="What the gateway adds",
            of="gateway-core/call_rpc",
            minus="gateway-core/call_direct",
        ),
        PlannedDifference(id="tools/cost", scenario="tools", name="cost", of="tools/call", minus="tools/list"),
    )


@dataclass(frozen=True)
class Example:
    """The example, collected once: for tests that only look."""

    path: Path
    result: subprocess.CompletedProcess[str]

    def case(self, name: str) -> Case:
        return next(case for case in document(self.path).cases if case.id == name)


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Example:
    run_dir = example(tmp_path_factory.mktemp("a run"))
    return Example(run_dir, collect(run_dir, env={"FORCE_COLOR": "1"}))


def test_table_and_summaries(collected: Example, golden: Callable[[str, object], None]) -> None:
    run_dir, result = collected.path, collected.result
    assert (result.returncode, result.stderr) == (3, "")
    golden("collect/table.txt", result.stdout)
    stamp = "2025-10-10-143000"
    written = sorted(path.name for path in run_dir.glob("*.txt"))
    assert written == [f"gateway-core_{stamp}.txt", f"mixed_{stamp}.txt", f"tools_{stamp}.txt"]
    for scenario in ("gateway-core", "mixed", "tools"):
        golden(f"collect/{scenario}.txt", (run_dir / f"{scenario}_{stamp}.txt").read_text(encoding="utf-8"))


def test_run_json(collected: Example, golden: Callable[[str, object], None]) -> None:
    run = document(collected.path)
    # One timeline shows what they look like; all of them would be thousands of lines.
    cases = [case if case.id == "tools/list" else case.model_copy(update={"timeline": None}) for case in run.cases]
    golden("collect/run.json", json.loads(dump(run.model_copy(update={"cases": cases}))))
    assert [case.id for case in run.cases] == [
        "tools/list",
        "tools/call",
        "tools/old",
        "tools/cost",
        "gateway-core/health",
        "gateway-core/call_direct",
        "gateway-core/call_rpc",
        "gateway-core/overhead_rpc",
        "mixed/tools_call",
        "mixed/prompts_get",
        "mixed/aggregate",
    ]
    assert run.exit_code == 3
    assert run.exit_reason == "6 of 8 cases are valid; invalid: tools/call; skipped: tools/old"


def test_the_same_files_give_the_same_document(tmp_path: Path) -> None:
    run_dir = example(tmp_path)
    collect(run_dir)
    first = (run_dir / "run.json").read_bytes()
    collect(run_dir, env={"PERF_REQUESTS": "7", "GATEWAY_URL": "http://elsewhere"})
    assert (run_dir / "run.json").read_bytes() == first


def test_only_the_plan_and_raw_are_read_and_nothing_there_is_changed(tmp_path: Path) -> None:
    run_dir = example(tmp_path)
    before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
    (run_dir / "config.yaml").write_text("damaged: [")
    collect(run_dir)
    assert {path: path.read_bytes() for path in before} == before


def test_a_difference_is_what_a_reader_subtracts(collected: Example) -> None:
    of, minus = collected.case("gateway-core/call_rpc"), collected.case("gateway-core/call_direct")
    case = collected.case("gateway-core/overhead_rpc")
    assert case.kind == "difference"
    for name in ("p50_latency", "p95_latency", "p99_latency"):
        assert case.metrics[f"added_{name}"] == pytest.approx(of.metrics[name] - minus.metrics[name])
    rate = "requests_per_sec"
    assert case.metrics["throughput_ratio"] == pytest.approx(of.metrics[rate] / minus.metrics[rate], abs=1e-6)
    assert case.advisory == ["added_p95_latency", "added_p99_latency"]
    assert [set(one.metrics) for one in case.iterations] == [set(case.metrics)] * 2
    invalid = collected.case("tools/cost")
    assert (invalid.metrics, invalid.reason) == ({}, "made from tools/call, which is invalid")


def test_an_aggregate_pools_the_kinds_on_one_clock(collected: Example) -> None:
    case = collected.case("mixed/aggregate")
    assert case.kind == "aggregate"
    assert case.counts is not None
    assert (case.counts.sent, case.counts.ok) == (120, 120)
    # tools_call: 9 rounds of 25 ms, then 21.9 ms: until 0.2469 s; prompts_get begins 0.1 s later: until 0.5469 s.
    assert case.iterations[0].metrics["total_time"] == pytest.approx(0.5469)
    assert case.metrics["requests_per_sec"] == pytest.approx(60 / 0.5469)
    assert case.notes == ["all 2 kinds ran at once for 27% of the time"]


def test_time_of_load_counts_what_ran_at_once_only_once(collected: Example) -> None:
    # The factory starts the first iteration of every case at one moment and the second ten seconds later, each 1 s, but
    # one kind of the mix 0.1 s later.
    assert document(collected.path).load_seconds == 2.2


def test_no_escape_sequences_without_a_terminal(collected: Example) -> None:
    assert "\x1b" not in collected.result.stdout
    assert all("\x1b" not in path.read_text(encoding="utf-8") for path in collected.path.glob("*.txt"))


@pytest.mark.parametrize("no_colour", [True, False])
def test_a_terminal_gets_a_table_with_colours_unless_told_otherwise(tmp_path: Path, no_colour: bool) -> None:
    run_dir = example(tmp_path)
    env = os.environ | {"TERM": "xterm", "COLUMNS": "150"}
    env.pop("NO_COLOR", None)
    if no_colour:
        env["NO_COLOR"] = "1"
    parent, child = pty.openpty()
    with subprocess.Popen([sys.executable, str(PROGRAM), str(run_dir)], stdout=child, env=env) as process:
        os.close(child)
        output = b""
        while True:
            try:
                data = os.read(parent, 4096)
            except OSError:
                break
            if not data:
                break
            output += data
    os.close(parent)
    assert process.returncode == 3
    text = output.decode()
    assert "gateway-core/overhead_rpc" in text
    assert "┏" in text
    assert ("\x1b[" in text and "32m" in text) is not no_colour


def test_all_valid_exits_0(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.add(planned("a"), good(), good())
    result = collect(directory.finish())
    assert result.returncode == 0
    assert result.stdout.endswith("light_2025-10-10-143000: 1 of 1 cases are valid (exit 0)\n")


def test_a_run_without_any_valid_case_never_passes(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.add(planned("a", skipped="not there"))
    result = collect(directory.finish())
    assert result.returncode == 3
    assert document(tmp_path).exit_reason == "0 of 1 cases are valid; skipped: tools/a"


def test_latencies_below_a_millisecond_name_their_resolution(collected: Example) -> None:
    assert any("≤ 0.1 ms resolution" in note for note in collected.case("gateway-core/health").notes)
    assert collected.case("tools/list").notes == []


# Interrupted


@pytest.mark.parametrize(("code", "word"), [(130, "Ctrl-C"), (143, "TERM"), (2, "an error (exit 2)")])
def test_interrupted_before_anything_was_measured(tmp_path: Path, code: int, word: str) -> None:
    directory = RunDirectory(tmp_path)
    directory.add(planned("a"))
    result = mark(directory.finish(), code)
    assert (result.returncode, result.stderr) == (0, "")
    run = document(tmp_path)
    assert (run.status, run.exit_code) == ("interrupted", code)
    assert run.exit_reason == f"interrupted by {word}: 0 of 1 cases were measured to their end"
    assert run.cases[0].validity == "interrupted"


def test_interrupted_in_the_middle_keeps_what_is_whole(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.add(planned("whole"), good(), good())
    directory.add(planned("half"), good())
    directory.add(planned("never"))
    raw = tmp_path / "raw" / "tools"
    (raw / "half.2.csv").write_text("response-time,DNS+dia")  # hey was still writing; its record was never written
    (raw / ".half.2.json.x1.tmp").write_text('{"sch')
    result = mark(directory.finish(), 130)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "interrupted; what was measured is kept and marked\n"
    run = document(tmp_path)
    assert [case.validity.value for case in run.cases] == ["valid", "interrupted", "interrupted"]
    assert [len(case.iterations) for case in run.cases] == [2, 1, 0]
    assert run.cases[1].iterations[0].metrics["p50_latency"] > 0
    assert run.cases[1].metrics == {}


def test_interrupted_is_quick(tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM.with_name("mark_interrupted.py")), str(example(tmp_path)), "130"]
    assert relative_cost(command) < 7


# Bad input: one line, exit 2, nothing written


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--hey", "file", "somewhere"],
    ],
)
def test_usage(arguments: list[str]) -> None:
    result = collect(*arguments)
    assert result.returncode == 2
    assert "usage:" in result.stderr
    assert "Traceback" not in result.stderr


def refused(run_dir: Path, *arguments: object) -> str:
    result = collect(run_dir, *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert not (run_dir / "run.json").exists()
    return result.stderr


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    assert "there is no such run directory" in refused(tmp_path / "none")


def test_no_plan(tmp_path: Path) -> None:
    assert "plan.json: there is no such plan" in refused(tmp_path)


def test_a_plan_of_an_unknown_version(tmp_path: Path) -> None:
    plan = example(tmp_path) / "plan.json"
    plan.write_text(plan.read_text(encoding="utf-8").replace('"schema_version": 2', '"schema_version": 9'))
    assert "schema_version 9; this toolkit reads version 2" in refused(tmp_path)


def test_a_damaged_record(tmp_path: Path) -> None:
    example(tmp_path)
    (tmp_path / "raw" / "tools" / "list.1.json").write_text("{}")
    assert "list.1.json: the record of an iteration has schema_version null" in refused(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_reader_that_has_no_room(tmp_path: Path) -> None:
    run_dir = example(tmp_path)
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        result = subprocess.run([sys.executable, str(PROGRAM), str(run_dir)], stdout=full, check=False)
    assert result.returncode != 0
    assert document(run_dir).exit_code == 3  # the document was whole before anything was printed


# One output of hey


@pytest.mark.parametrize("name", ["rows_limit.csv", "summary_drop.txt", "summary_50.txt"])
def test_one_output_of_hey(name: str, golden: Callable[[str, object], None]) -> None:
    result = collect("--hey", FIXTURES / name)
    assert result.returncode == 0
    golden(f"collect/hey_{Path(name).stem}.txt", result.stdout)


def test_an_output_that_is_not_heys(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello\n")
    result = collect("--hey", tmp_path / "x")
    assert result.returncode == 2
    assert "neither the header of hey -o csv nor hey's summary" in result.stderr
