"""Describe this machine, as far as it matters for comparing two runs."""

from __future__ import annotations

import contextlib
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

_CPU_NAMES = ("model name", "cpu model", "cpu", "uarch")
"""Keys of ``/proc/cpuinfo`` for the CPU name: x86 and others; MIPS; POWER; RISC-V."""

_SHARED_NAME = re.compile("ARMv[0-9]|QEMU|KVM")
"""Names whose number belongs to an architecture or an emulator, not to a CPU model."""

_CPU_IDS = (
    *("cpu implementer", "cpu part", "cpu variant", "cpu revision", "hardware"),
    *("vendor_id", "cpu family", "model", "stepping"),
    *("machine", "isa"),
)
"""Keys that identify the CPU model if the name does not: ARM; x86; IBM and RISC-V."""


def describe_machine(engines: dict[str, str]) -> Machine:
    """Describe this machine with its current control score. ``engines``: name to version of the load engines."""
    return Machine(
        cpu_model=_cpu_model(),
        cores=psutil.cpu_count() or 1,
        memory_mib=psutil.virtual_memory().total // 2**20,
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        engines=engines,
        toolkit=__version__,
        control_score=control_score(),
    )


def control_score() -> float:
    """Time a fixed calibration loop on one core, in milliseconds: the median of fifteen rounds, lower is faster.

    If the scores of two runs differ, the runs were not measured on the same machine in the same state, whatever the
    machine's name says.
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


def cpu_model(cpuinfo: str, otherwise: str) -> str:
    """Identify the CPU model: a name with a number in it, or the ids from the manufacturer.

    ``cpuinfo`` is the text of ``/proc/cpuinfo``, empty if it does not exist. It has a name on x86, but mostly not on
    ARM. Virtual machines often have a name that fits several models. ``otherwise`` is the name from other sources.
    """
    name = next((value for key in _CPU_NAMES for value in _values(cpuinfo, key)), "") or otherwise
    if any(character.isdigit() for character in name) and not _SHARED_NAME.search(name):
        return name
    ids = [f"{key.removeprefix('cpu ')} {' '.join(values)}" for key in _CPU_IDS if (values := _values(cpuinfo, key))]
    if not ids:
        # Nothing identifies the model, so it must be equal only to itself.
        ids = [f"not known, machine {_machine_id()}"]
    return f"{name or platform.machine()} ({', '.join(ids)})"


def _values(cpuinfo: str, key: str) -> list[str]:
    """Return the distinct values of a key in order: the cores of a processor can differ."""
    found = re.findall(rf"^{key}[ \t]*:[ \t]*(\S.*?)[ \t]*$", cpuinfo, flags=re.MULTILINE | re.IGNORECASE)
    return list(dict.fromkeys(found))


def _cpu_model() -> str:
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        cpuinfo = ""
    return cpu_model(cpuinfo, "" if cpuinfo else _brand() or platform.processor())


def _brand() -> str:
    """Return the CPU name on macOS; empty elsewhere."""
    try:
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _machine_id() -> str:
    """Return eight digits that identify this machine and reveal nothing else about it."""
    known = [platform.node()]
    with contextlib.suppress(OSError):
        known.append(Path("/etc/machine-id").read_text(encoding="utf-8"))
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:8]
