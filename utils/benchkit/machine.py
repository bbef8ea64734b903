"""What machine this is, as far as it matters for comparing two runs."""

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
"""Keys of ``/proc/cpuinfo`` that hold the name: x86 and others; MIPS; POWER; RISC-V."""

_SHARED_NAME = re.compile("ARMv[0-9]|QEMU|KVM")
"""Names with a number that is an architecture's or an emulator's, not a model's."""

_CPU_IDS = (
    *("cpu implementer", "cpu part", "cpu variant", "cpu revision", "hardware"),
    *("vendor_id", "cpu family", "model", "stepping"),
    *("machine", "isa"),
)
"""Keys that tell models apart where the name does not: ARM; x86; IBM and RISC-V."""


def describe_machine(engines: dict[str, str]) -> Machine:
    """This machine, with the control score of this moment. ``engines``: name to version of what makes the load."""
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


def cpu_model(cpuinfo: str, otherwise: str) -> str:
    """What tells this processor from another model: a name with a number in it, or the ids that its maker gave it.

    ``cpuinfo`` is the text of ``/proc/cpuinfo``, empty where there is none. It has a name on x86, mostly none on ARM;
    virtual machines often have a name that fits several models. ``otherwise`` is what the system says elsewhere.
    """
    name = next((value for key in _CPU_NAMES for value in _values(cpuinfo, key)), "") or otherwise
    if any(character.isdigit() for character in name) and not _SHARED_NAME.search(name):
        return name
    ids = [f"{key.removeprefix('cpu ')} {' '.join(values)}" for key in _CPU_IDS if (values := _values(cpuinfo, key))]
    if not ids:
        # Nothing tells it from another one, so it must be equal to itself only.
        ids = [f"not known, machine {_machine_id()}"]
    return f"{name or platform.machine()} ({', '.join(ids)})"


def _values(cpuinfo: str, key: str) -> list[str]:
    """The different values of a key, in their order: the cores of a processor need not be of one kind."""
    found = re.findall(rf"^{key}[ \t]*:[ \t]*(\S.*?)[ \t]*$", cpuinfo, flags=re.MULTILINE | re.IGNORECASE)
    return list(dict.fromkeys(found))


def _cpu_model() -> str:
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        cpuinfo = ""
    return cpu_model(cpuinfo, "" if cpuinfo else _brand() or platform.processor())


def _brand() -> str:
    """The processor's name on macOS; empty elsewhere."""
    try:
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _machine_id() -> str:
    """Eight digits that are another machine's only by chance, and tell nothing else of this one."""
    known = [platform.node()]
    with contextlib.suppress(OSError):
        known.append(Path("/etc/machine-id").read_text(encoding="utf-8"))
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:8]
