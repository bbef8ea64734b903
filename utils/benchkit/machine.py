"""What machine this is, as far as it matters for comparing two runs."""

from __future__ import annotations

import hashlib
import platform
import re
import statistics
import subprocess
import time
from pathlib import Path

import psutil

from benchkit import __version__
from benchkit.model import Machine

_CONTROL_ROUNDS = 15
_CONTROL_BLOCK = b"mcp-gateway-benchmark" * 512


def describe_machine(hey: str) -> Machine:
    """This machine, with the control score of this moment. ``hey`` is the load generator's program."""
    return Machine(
        cpu_model=_cpu_model(),
        cores=psutil.cpu_count() or 1,
        memory_mib=psutil.virtual_memory().total // 2**20,
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        hey=_hey_version(hey),
        toolkit=__version__,
        control_score=control_score(),
    )


def control_score() -> float:
    """Milliseconds that a fixed piece of work takes on one core: median of fifteen rounds, lower is faster.

    Two runs whose scores differ were not measured on the same machine in the same state, whatever its name says.
    """
    times = []
    for _ in range(_CONTROL_ROUNDS):
        started = time.perf_counter()
        digest = b""
        for _ in range(400):
            digest = hashlib.sha256(_CONTROL_BLOCK + digest).digest()
        total = 0
        for number in range(60_000):
            total += number * number % 7
        times.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(times), 3)


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    match = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return match.group(1).strip() if match else platform.machine()


def _hey_version(hey: str) -> str:
    """hey has no ``--version``; its Debian package does, elsewhere the file's digest tells two of them apart."""
    try:
        found = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", "hey"], capture_output=True, text=True, timeout=5, check=False
        )
        if found.returncode == 0 and hey == "/usr/bin/hey":
            return found.stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        pass
    try:
        return "sha256:" + hashlib.sha256(Path(hey).read_bytes()).hexdigest()[:12]
    except OSError:
        return "unknown"
