"""``benchmarks/verdicts.py``: it condenses real documents, draws the same suites again, and says what is not kept."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchkit.settings import ROOT
from builders.documents import environment
from builders.judged import measured, run_of, write_run
from builders.paired import TWENTY, blocks_of, noisy, two, variant

PROGRAM = ROOT / "benchmarks" / "verdicts.py"


def verdicts(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the benchmark and wait for its end."""
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def recorded(directory: Path, *, noise: float = 0.01, bias: float = 0.0) -> Path:
    """Synthetic records: 16 blocks and 11 runs of 20 cases; ``bias`` makes head and newest run slower at random."""
    chance = np.random.default_rng(4)
    cases = [f"tools/case{number}" for number in range(20)]

    def figures(level: float) -> dict[str, float]:
        moved = float(level * np.exp(chance.normal(0, noise)))
        return {"p50_latency": moved, "requests_per_sec": 10_000 / moved, "p95_latency": 2 * moved}

    blocks = []
    for _ in range(16):
        pairs = {case: (figures(50.0), figures(50.0 * (1 + bias))) for case in cases}
        blocks.append({case: {name: [one[name], two[name]] for name in one} for case, (one, two) in pairs.items()})
    runs = [{"control_score": 40.0, "cases": {case: figures(50.0) for case in cases}} for _ in range(11)]
    common: dict[str, Any] = {"schema_version": 1, "machine": "m", "release": "1", "requests": 300, "concurrency": 10}
    directory.mkdir()
    (directory / "paired_aa.json").write_text(json.dumps(common | {"blocks": blocks}))
    (directory / "stored_aa.json").write_text(json.dumps(common | {"runs": runs}))
    return directory


def test_a_quiet_machine_keeps_every_promise_and_the_same_seed_says_the_same(tmp_path: Path) -> None:
    place = recorded(tmp_path / "recorded")
    first, again = (verdicts("--recorded", place, "--suites", 1, "--seed", 7) for _ in range(2))
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == again.stdout
    assert "noise: p50 1." in first.stdout
    assert "20 % slower in one case, threshold 10 %: found" in first.stdout
    assert first.stdout.endswith("Every promise is kept.\n")


def test_on_what_was_recorded_every_promise_is_kept() -> None:
    done = verdicts("--suites", 25)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.count(" kept\n") == 6
    assert "35 recorded blocks of 3 cases" in done.stdout
    assert "20 recorded runs of 18 cases" in done.stdout


def test_a_bias_between_the_variants_is_a_promise_that_is_not_kept(tmp_path: Path) -> None:
    done = verdicts("--recorded", recorded(tmp_path / "recorded", bias=0.2), "--suites", 2)
    assert done.returncode == 1
    assert "2 of 2 (mean of the last look: 5.0 blocks)  NOT KEPT" in done.stdout


def test_a_suite_that_only_fails_together_is_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    # By its path: the tests' own helpers have the same name.
    spec = importlib.util.spec_from_file_location("benchmark_of_verdicts", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, benchmark)
    spec.loader.exec_module(benchmark)
    together = two(dict.fromkeys(TWENTY, 1.15), noise=0.12)
    assert not [case for case in together.cases if case.verdict.row.fails]
    judged = benchmark._judged(together, together.cases[0].id, 8)
    assert (judged.alarm, judged.found) == (True, False)


def test_directories_of_results_become_records(tmp_path: Path) -> None:
    for number in (1, 2):
        for name in ("base", "head"):
            run = variant(
                name, blocks_of("tools/a", noisy(number, 50.0)), blocks_of("tools/b", noisy(9, 50.0, blocks=5))
            )
            write_run(tmp_path / f"paired{number}" / name, run)
        write_run(tmp_path / f"run{number}", run_of(measured(rounds=(20.0 + number,)), number=number))
    out = tmp_path / "recorded"
    done = verdicts("--condense", "paired", tmp_path / "paired1", tmp_path / "paired2", "--recorded", out)
    assert done.returncode == 0, done.stderr
    paired = json.loads((out / "paired_aa.json").read_text())
    assert (paired["requests"], paired["release"], len(paired["blocks"])) == (300, "1.0.7", 10)
    assert set(paired["blocks"][0]) == {"tools/a", "tools/b"}
    assert set(paired["blocks"][0]["tools/a"]) == {"p50_latency", "requests_per_sec", "p95_latency"}
    done = verdicts("--condense", "stored", tmp_path / "run1", tmp_path / "run2", "--recorded", out)
    assert done.returncode == 0, done.stderr
    stored = json.loads((out / "stored_aa.json").read_text())
    assert [run["cases"]["tools/list"]["p50_latency"] for run in stored["runs"]] == [21.0, 22.0]
    assert stored["runs"][0]["control_score"] == 41.8


def test_records_are_of_one_load(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", run_of(measured()))
    other = write_run(tmp_path / "other", run_of(measured(), environment=environment(requests=200)))
    done = verdicts("--condense", "stored", one, other, "--recorded", tmp_path)
    assert done.returncode == 2
    assert "has another load than light_run1" in done.stderr


@pytest.mark.parametrize("arguments", [["--condense", "paired"], ["somewhere"], ["--suites", "0"], ["--blocks", "4"]])
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    assert verdicts(*arguments).returncode == 2
