"""The settings of verdicts: thresholds per metric and per case, and a line for every mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from benchkit.errors import UserError
from benchkit.settings import ROOT, Baselines, load_settings
from benchkit.verdict.rules import deciding_metrics, requests_of
from builders.paired import blocks_of, noisy


def config_with(directory: Path, **baselines: Any) -> Path:
    """A copy of config.yaml with other values in its section ``baselines``."""
    data = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    data["baselines"] |= baselines
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def test_the_most_special_threshold_counts() -> None:
    limits = Baselines(
        regression_threshold=10.0,
        thresholds={"p95_latency": 20.0},
        cases={"tools/list": {"p95_latency": 30.0, "error_rate": 1.0}},
    )
    names = ("p50_latency", "p95_latency", "error_rate")
    assert [limits.threshold(name, "tools/list") for name in names] == [10.0, 30.0, 1.0]
    assert [limits.threshold(name, "tools/other") for name in names] == [10.0, 20.0, 0.1]


def test_a_case_of_the_configuration_is_read(tmp_path: Path) -> None:
    path = config_with(tmp_path, cases={"tools/list_limit_50": {"p50_latency": 20.0}})
    limits = load_settings(environ={}, config_file=path).config.baselines
    assert limits.threshold("p50_latency", "tools/list_limit_50") == 20.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cases": {"tools/list": {"p50": 20.0}}}, ["baselines.cases", "there is no metric 'p50'", "p50_latency"]),
        ({"cases": {"tolls/list": {"p50_latency": 20.0}}}, ["baselines.cases names 'tolls/list'", "mixed, prompts"]),
        ({"cases": {"tools": {"p50_latency": 20.0}}}, ["baselines.cases names 'tools'", "(scenario/name)"]),
        ({"cases": {"tools/list": {"p50_latency": -1.0}}}, ["baselines.cases", "-1.0"]),
        (
            {"cases": {"tools/list": {"p50_latency": 20.0}}},
            ["baselines.cases names 'tools/list', which is not there; tools has call_", ", list_limit_10, "],
        ),
        ({"cases": {"tools/aggregate": {"p50_latency": 20.0}}}, ["'tools/aggregate', which is not there"]),
        ({"cases": {"mixed/nope": {"p50_latency": 20.0}}}, ["mixed has ", ", aggregate"]),
        ({"significance": 0.0}, ["baselines.significance", "greater than 0"]),
        ({"sustained_runs": 0}, ["baselines.sustained_runs"]),
        ({"critical_threshold": "much"}, ["baselines.critical_threshold", "'much'"]),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        load_settings(environ={}, config_file=config_with(tmp_path, **changes))
    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == []


def test_the_tail_decides_only_with_enough_requests() -> None:
    limits = Baselines(gate=["p50_latency", "p95_latency"])
    few, many = (blocks_of("tools/a", noisy(1, 50.0), sent=sent) for sent in (299, 300))
    assert (requests_of(few), requests_of(many)) == (299, 300)
    assert deciding_metrics(few, limits) == {"p50_latency", "error_rate"}
    assert deciding_metrics(many, limits) == {"p50_latency", "p95_latency", "error_rate"}
    assert deciding_metrics(few, limits, steady=False) == deciding_metrics(many, limits)
