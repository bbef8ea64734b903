"""Interrupted at a random moment: nothing left running, no file damaged, the right exit code.

A few of those that benchmarks/interrupts.py makes on request; other moments every day.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from toolkit import ROOT, TESTED_RELEASE

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("arguments", [["--count", "8"], ["--count", "2", "--stack"]], ids=["stub", "stack"])
def test_interrupts_leave_nothing(arguments: list[str]) -> None:
    seed = f"{datetime.now(UTC):%Y%m%d}"
    command = [sys.executable, str(ROOT / "benchmarks" / "interrupts.py"), "--seed", seed, *arguments]
    environ = {**os.environ, "GATEWAY_VERSION": TESTED_RELEASE}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"seed {seed}:\n{done.stdout}{done.stderr}"
