"""What is done for a run whose shell was killed: its last word, its temporary files, what it left on gateways."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchkit.settings import ROOT

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
