"""Differences between the environments of two runs, in words: ``requests 100 → 200`` (reference → current).

Different load: not comparable. Different machine: nothing is decided. Different target: shown only, because the target
is what is being tested.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchkit.model import BaselineRun, Environment, Load, Machine, Target

MEMORY_TOLERANCE = 0.05
"""The same machine reports slightly different memory under another kernel; share of the larger value."""

CONTROL_TOLERANCE = 0.10
"""How much the control score (duration of the calibration loop) may differ without a remark; share of the reference."""

UPTIME_FACTOR = 2.0
UPTIME_FLOOR_S = 600.0
"""A difference in the gateway's age is shown if the ages differ by more than the factor and one is above the floor:
processes that are only seconds old have not slowed down with age yet."""

_NO_MODEL = frozenset(
    {"", "unknown", "aarch64", "arm64", "arm", "armv7l", "x86_64", "amd64", "i386", "ppc64le", "s390x", "riscv64"}
)
"""Values of older documents for an unknown processor: two equal ones may still be two different machines."""

_TARGET_FIELDS = {
    "origin": "started as",
    "release": "gateway release",
    "python": "gateway's Python",
    "packages": "lock of the gateway's packages",
    "database": "database",
    "database_version": "database version",
    "cache": "cache",
    "workers": "workers",
    "servers": "MCP servers",
}


def load_differences(reference: Load, current: Load) -> list[str]:
    """Return the differences that make two loads incomparable; empty if none. The profile's name does not count."""
    values = current.model_dump(exclude={"profile"})
    return [line for name, value in values.items() if (line := _differing(name, getattr(reference, name), value))]


def machine_differences(reference: Machine, current: Machine) -> list[str]:
    """Return the differences between the reference's machine and the current one; empty if it is the same machine."""
    unknown = reference.cpu_model == current.cpu_model and current.cpu_model.lower() in _NO_MODEL
    lines = [
        f"CPU not known ({current.cpu_model or 'no name'} both times)" if unknown else "",
        _differing("CPU", reference.cpu_model, current.cpu_model),
        _differing("cores", reference.cores, current.cores),
    ]
    larger = max(reference.memory_mib, current.memory_mib)
    if abs(reference.memory_mib - current.memory_mib) > MEMORY_TOLERANCE * larger:
        lines.append(_differing("memory MiB", reference.memory_mib, current.memory_mib))
    return [line for line in lines if line]


def control_shift(references: Sequence[BaselineRun], reference: Environment, current: Machine) -> float:
    """Return how much longer the calibration loop took now than at the reference's runs, as a natural logarithm.

    For a run without a score, that of the baseline's environment is used. 0 if there is nothing to compare.
    """
    fallback = reference.machine.control_score
    scores = [score for run in references if (score := run.control_score or fallback)]
    if not scores or not current.control_score:
        return 0.0
    return math.log(current.control_score) - math.fsum(math.log(score) for score in scores) / len(scores)


def lesser_differences(reference: Environment, current: Environment) -> list[str]:
    """Return the differences to mention in a comparison: versions on the same machine, its speed, and the target."""
    before, now = reference.machine, current.machine
    lines = [_differing(name, getattr(before, name), getattr(now, name)) for name in ("kernel", "python", "toolkit")]
    lines += [
        _differing(name, before.engines[name], version)
        for name, version in now.engines.items()
        if name in before.engines
    ]
    lines += [_control(reference.machine, current.machine)]
    lines += [
        _differing(label, getattr(reference.target, name), getattr(current.target, name))
        for name, label in _TARGET_FIELDS.items()
    ]
    lines += _settings(reference.target, current.target)
    lines += [_uptime(reference.target, current.target)]
    return [line for line in lines if line]


def _differing(label: str, reference: object, current: object) -> str:
    return "" if reference == current else f"{label} {_shown(reference)} → {_shown(current)}"


def _shown(value: object) -> str:
    return "unknown" if value is None else str(value)


def _control(reference: Machine, current: Machine) -> str:
    before, now = reference.control_score, current.control_score
    if not before or not now or abs(now / before - 1) <= CONTROL_TOLERANCE:
        return ""
    word = "slower" if now > before else "faster"
    return f"this machine's calibration loop ran {abs(now / before - 1):.0%} {word} ({before:.1f} → {now:.1f} ms)"


def _settings(reference: Target, current: Target) -> list[str]:
    names = sorted({*reference.settings, *current.settings})
    return [_differing(f"setting {name}", reference.settings.get(name), current.settings.get(name)) for name in names]


def _uptime(reference: Target, current: Target) -> str:
    before, now = reference.uptime_s, current.uptime_s
    if before is None or now is None:
        return ""
    younger, older = sorted((before, now))
    if older <= UPTIME_FLOOR_S or older <= UPTIME_FACTOR * younger:
        return ""
    return f"the gateway had run for {now:.0f} s, the reference's for {before:.0f} s: an older process is slower"
