"""A run of a plan, as the shell makes it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchkit.load.arguments_file import write_arguments
from benchkit.load.driver import Driver, steps
from benchkit.load.plan import Target, plan_cases
from benchkit.model import (
    Plan,
    PlannedCase,
)
from benchkit.settings import Settings, load_settings
from builders.catalogue import FakeCatalogue
from builders.driven import Counters


def settings_with(tmp_path: Path, case: str) -> Settings:
    """Settings of one scenario with one case."""
    config = tmp_path / "config.yaml"
    config.write_text(
        f"scenarios:\n  s:\n    cases:\n      c:\n        path: /health\n        versioned: false\n{case}"
    )
    environ = {"PERF_SCENARIOS": "s", "PERF_REQUESTS": "20", "PERF_CONCURRENCY": "2", "PERF_WARMUP": "false"}
    return load_settings(environ=environ, config_file=config)


def planned_with(settings: Settings, url: str = "http://127.0.0.1:4444") -> list[PlannedCase]:
    return plan_cases(settings, Target(url, "/v1", [], f"{url}/rpc", "", auth_required=True), FakeCatalogue())


def measure(plan: Plan, run_dir: Path, programs: Mapping[str, Sequence[str]]) -> None:
    """Run a plan as the shell does."""
    driver = Driver(
        plan, run_dir, programs=programs, token=lambda _: "", counters=Counters(), gateway_answers=lambda: True
    )
    for step in steps(plan):
        codes = []
        processes = driver.begin(step, 1.0)
        write_arguments(run_dir, processes)
        for process in processes:
            assert process.output is not None
            with process.output.open("wb") as output:
                command = [*programs[process.engine], *process.arguments]
                codes.append(subprocess.run(command, stdout=output, check=False).returncode)
        driver.end(codes)
