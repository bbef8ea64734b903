"""What is done for a run whose shell was killed: its last word, its temporary files, what it left on gateways."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from all_factory import all_runs
from benchkit import fixtures_record, run_owner, store
from benchkit.fixtures_record import Fixture
from benchkit.settings import ROOT
from run_factory import run_directory

GONE = 0x7FFFFFFF


def index(results: Path, tmpdir: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The next command that comes by."""
    return subprocess.run(
        [sys.executable, str(ROOT / "utils" / "results_index.py"), "--results-dir", str(results)],
        env={**os.environ, "TMPDIR": str(tmpdir or results)},
        capture_output=True,
        text=True,
        check=False,
    )
