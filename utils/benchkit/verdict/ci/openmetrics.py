"""OpenMetrics text, for GitLab's metrics reports, Prometheus and other tools that read its format.

The names contain the base units (``_seconds``, ``_ratio``). A case that was not measured has no samples. An advisory
percentile (too few samples beyond it) is left out, because the format cannot mark it. The run's id is not included,
because GitLab compares the samples of two branches by their names and labels.

Format: OpenMetrics 1.0, https://github.com/prometheus/OpenMetrics
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchkit.model import METRICS, Metric
from benchkit.verdict.ci.results import CaseResult, RunResult

_PREFIX = "mcp_gateway_benchmark"


@dataclass(frozen=True)
class _Family:
    """A metric family; a value of :data:`METRICS` divided by ``per_unit`` is in the family's unit."""

    name: str
    unit: str
    help: str
    per_unit: float = 1.0


_UNITS = {
    "ms": ("seconds", 1000.0),
    "s": ("seconds", 1.0),
    "1/s": ("requests_per_second", 1.0),
    "share": ("ratio", 1.0),
}
"""Maps the unit of a metric to that of its family, and the number of the metric's units in one of the family's."""

_CHANGE = _Family("change_ratio", "ratio", "Change against the reference, by metric; positive is better.", 100.0)
_SUITE = _Family("suite_change_ratio", "ratio", "Change of all cases together, by metric; positive is better.", 100.0)
_CASES = _Family("cases", "", "Cases of the run, by outcome.")
_EXIT = _Family("exit_code", "", "What the run ended with: 0 passed, 1 regression, 3 invalid measurement.")


def openmetrics(result: RunResult) -> str:
    """Return the whole file, with ``# EOF`` at its end."""
    samples: dict[_Family, list[str]] = {}

    def add(family: _Family, labels: Mapping[str, str], value: float) -> None:
        samples.setdefault(family, []).append(_sample(family, labels, value))

    for case in result.cases:
        for name, value in _decided(case):
            statistic = METRICS[name].openmetrics.statistic
            add(_family(METRICS[name]), _labels(case) | ({"statistic": statistic} if statistic else {}), value)
        for name, compared in case.metrics.items():
            if compared.change_percent is not None and not compared.advisory:
                add(_CHANGE, _labels(case) | {"metric": name}, compared.change_percent)
    for name, compared in (result.comparison.suite if result.comparison is not None else {}).items():
        if compared.change_percent is not None:
            add(_SUITE, {"metric": name}, compared.change_percent)
    for outcome, number in result.outcomes().items():
        add(_CASES, {"outcome": outcome}, number)
    add(_EXIT, {}, result.exit_code)
    lines = [line for family, rows in samples.items() for line in (*_head(family), *rows)]
    return "\n".join([*_about(result), *lines, "# EOF", ""])


def _family(metric: Metric) -> _Family:
    unit, per_unit = _UNITS[metric.unit]
    return _Family(f"{metric.openmetrics.family}_{unit}", unit, metric.openmetrics.help, per_unit)


def _decided(case: CaseResult) -> Iterator[tuple[str, float]]:
    """Yield the metrics of a measured case without the advisory ones, in the order of the metric table."""
    if case.case is None:
        return
    for name in METRICS:
        if name in case.case.metrics and name not in case.case.advisory:
            yield name, case.case.metrics[name]


def _labels(case: CaseResult) -> dict[str, str]:
    return {"scenario": case.scenario, "case": case.name}


def _about(result: RunResult) -> list[str]:
    target = result.run.environment.target
    labels = {"profile": result.run.profile, "release": target.release or "", "database": target.database or ""}
    name = f"{_PREFIX}_target"
    return [f"# TYPE {name} info", f"# HELP {name} What was measured.", f"{name}_info{_braced(labels)} 1"]


def _head(family: _Family) -> list[str]:
    name = f"{_PREFIX}_{family.name}"
    unit = [f"# UNIT {name} {family.unit}"] if family.unit else []
    return [f"# TYPE {name} gauge", *unit, f"# HELP {name} {_escaped(family.help)}"]


def _sample(family: _Family, labels: Mapping[str, str], value: float) -> str:
    # Nine digits hide the rounding errors of the division by 1000.
    return f"{_PREFIX}_{family.name}{_braced(labels)} {value / family.per_unit:.9g}"


def _braced(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}" if labels else ""


def _escaped(text: str) -> str:
    # A carriage return is allowed, but many readers treat it as the end of a line.
    text = text.replace("\r", " ").encode("utf-8", errors="replace").decode("utf-8")
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
