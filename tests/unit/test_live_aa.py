"""``benchmarks/live_aa.py`` with a stand-in for ./run-advanced.sh: what is an alarm, and what is passed on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchkit import store
from benchkit.model import CaseComparison, Comparison, MetricComparison, Verdict
from benchkit.settings import ROOT

STUB = """#!/usr/bin/env bash
printf '%s\\n' "$*" >>calls
exit "$(<code)"
"""


def suite(place: Path, code: int, comparison: Comparison, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one suite in a checkout where ./run-advanced.sh ends with ``code`` and has left this comparison."""
    (place / "benchmarks").mkdir()
    shutil.copy(ROOT / "benchmarks" / "live_aa.py", place / "benchmarks")
    (place / "utils").symlink_to(ROOT / "utils")
    (place / "run-advanced.sh").write_text(STUB, "utf-8")
    (place / "run-advanced.sh").chmod(0o755)
    (place / "code").write_text(str(code), "utf-8")
    latest = place / "results" / "aa" / "latest"
    latest.mkdir(parents=True)
    store.save(latest / "comparison.json", comparison)
    command = [sys.executable, str(place / "benchmarks" / "live_aa.py"), "--suites", "1", *arguments]
    environ = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environ)


def compared(verdict: Verdict, *, of_all: Verdict | None = None, exit_code: int = 0, reason: str = "") -> Comparison:
    """A comparison of one case, with the verdict of the mean of all where that is given."""
    metric = MetricComparison(verdict=verdict, change_percent=-6.0, q_value=0.002, samples=8)
    mean = {"p50_latency": MetricComparison(verdict=of_all, change_percent=-12.0, p_value=0.001)} if of_all else {}
    case = CaseComparison(id="tools/a", verdict=verdict, metrics={"p50_latency": metric})
    return Comparison(
        run_id="r", mode="paired", suite=mean, verdict=verdict, reason=reason, exit_code=exit_code, cases=[case]
    )


@pytest.mark.parametrize(
    ("comparison", "words"),
    [
        (compared(Verdict.SLOWER), "ALARM tools/a p50_latency -6.0 % (q 0.002)"),
        (compared(Verdict.IMPROVEMENT), "ALARM tools/a p50_latency"),
        (compared(Verdict.UNCHANGED, of_all=Verdict.SLOWER), "ALARM suite p50_latency -12.0 % (p 0.001)"),
        (compared(Verdict.UNCHANGED, of_all=Verdict.REGRESSION, exit_code=1), "ALARM suite p50_latency -12.0 %"),
        (compared(Verdict.UNCHANGED, exit_code=1, reason="it got worse"), "ALARM it got worse"),
    ],
)
def test_every_claim_and_every_exit_1_is_an_alarm(tmp_path: Path, comparison: Comparison, words: str) -> None:
    done = suite(tmp_path, comparison.exit_code, comparison)
    assert (done.returncode, done.stderr) == (1, "")
    assert words in done.stdout
    assert done.stdout.endswith("1 of 1 suites with an alarm; 0 not measured\n")


def test_without_a_claim_there_is_no_alarm(tmp_path: Path) -> None:
    done = suite(tmp_path, 0, compared(Verdict.UNCHANGED, of_all=Verdict.UNCHANGED))
    assert (done.returncode, done.stderr) == (0, "")
    assert "ALARM" not in done.stdout


@pytest.mark.parametrize(("arguments", "passed_on"), [([], False), (["--rounds", "3"], True)])
def test_rounds_are_passed_on_where_they_are_given(tmp_path: Path, arguments: list[str], passed_on: bool) -> None:
    suite(tmp_path, 0, compared(Verdict.UNCHANGED), *arguments)
    assert (" --rounds 3" in (tmp_path / "calls").read_text("utf-8")) is passed_on
    assert passed_on or "--rounds" not in (tmp_path / "calls").read_text("utf-8")


def test_a_suite_that_could_not_be_measured(tmp_path: Path) -> None:
    done = suite(tmp_path, 3, compared(Verdict.UNCHANGED))
    assert done.returncode == 2
    assert "suite  1: not measured, exit 3" in done.stdout
