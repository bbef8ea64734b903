"""ARCHITECTURE.md: what it says how to add is added to a copy of the checkout, and works there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchkit.settings import ROOT

PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w+ (\S+/?\S*)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
PARTS = ("utils", "scenarios", "profiles", "payloads", "config.yaml", "Makefile")


def apply(checkout: Path, name: str, block: str) -> None:
    """Make a new file of a block, or put what is new in it behind the lines of it that are there already."""
    path = checkout / name
    if not path.exists():
        path.write_text(block, encoding="utf-8")
        path.chmod(0o755 if block.startswith("#!") else 0o644)
        return
    text = path.read_text(encoding="utf-8")
    lines = block.splitlines(keepends=True)
    known = max(number for number in range(len(lines) + 1) if "".join(lines[:number]) in text)
    old = "".join(lines[:known])
    assert known, f"{name} has no line like {lines[0]!r}"
    assert text.count(old) == 1, f"{name} has these lines more than once: {old}"
    path.write_text(text.replace(old, block), encoding="utf-8")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with everything that the page adds."""
    directory = tmp_path_factory.mktemp("checkout")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, directory / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, directory / part)
    (directory / ".venv").symlink_to(ROOT / ".venv")
    (directory / ".tools").symlink_to(ROOT / ".tools")
    for name, block in BLOCKS:
        apply(directory, name, block)
    return directory


def run(checkout: Path, *words: object) -> str:
    environ = {**os.environ, "PYTHONPATH": f"{checkout / 'utils'}:{ROOT / 'tests'}"}
    done = subprocess.run(
        [str(word) for word in words], cwd=checkout, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 3), done.stderr
    return done.stdout


def python(checkout: Path, source: str) -> str:
    return run(checkout, sys.executable, "-c", source).strip()


def test_every_part_of_the_page_has_its_block() -> None:
    assert len(BLOCKS) == 12
    named = set(re.findall(r"`((?:utils|tests|benchmarks|servers)/[\w./-]+\.\w+)`", PAGE))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_a_case_and_a_scenario(checkout: Path) -> None:
    source = (
        "from benchkit.settings import load_settings\n"
        "settings = load_settings(environ={})\n"
        "print('list_limit_1' in settings.config.scenarios['tools'].cases, 'listings' in settings.scenarios)"
    )
    assert python(checkout, source) == "True True"
    assert "Run the scenario listings" in run(checkout, checkout / "scenarios" / "listings-benchmark.sh", "--help")
    assert "scenarios/listings-benchmark.sh" in run(checkout, "make", "-n", "test-listings")


def test_a_metric(checkout: Path, tmp_path: Path) -> None:
    run_dir = shutil.copytree(ROOT / "tests" / "fixtures" / "profile" / "run", tmp_path / "run")
    table = run(checkout, sys.executable, checkout / "utils" / "collect_results.py", run_dir)
    assert "p90 ms" in table
    assert "spread ms" in table
    document = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    assert document["cases"][0]["metrics"]["spread_latency"] > 0
    run(checkout, sys.executable, checkout / "utils" / "report_generator.py", run_dir, "--no-open")
    assert "spread ms" in (run_dir / "report.html").read_text(encoding="utf-8")
    run(checkout, sys.executable, checkout / "utils" / "ci_report.py", run_dir)
    assert 'statistic="spread"' in (run_dir / "metrics.txt").read_text(encoding="utf-8")


def test_a_verdict(checkout: Path) -> None:
    source = "from benchkit.model import Verdict as V; print(V.DISASTER.row.headline, V.DISASTER.severity)"
    assert python(checkout, source) == "Disaster 0"


def test_an_engine(checkout: Path, tmp_path: Path) -> None:
    (checkout / "recorded.txt").write_text("".join(f"{20.0 + n} 200 {n * 30.0}\n" for n in range(100)))
    source = f"""
from pathlib import Path
from benchkit.load import engines
from benchkit.load.collect import collect
from benchkit.model import Plan
from benchkit.store import save
from builders.gateway_stub import Reply, serving
from builders.raw_runs import ENVIRONMENT, START
from builders.engines import measure, planned_with, settings_with
place = Path({str(tmp_path)!r})
settings = settings_with(place, "        engine: replay\\n        expect: {{min_bytes: 0}}\\n")
run_dir = place / "run"
(run_dir / "raw").mkdir(parents=True)
with serving(lambda request: Reply(body={{}})) as stub:
    cases = planned_with(settings, stub.url)
    plan = Plan(run_id="r", created=START, environment=ENVIRONMENT, scenarios=["s"], command="", max_error_rate=1.0,
                cases=cases)
    save(run_dir / "plan.json", plan)
    measure(plan, run_dir, engines.programs(settings))
case = collect(run_dir).run.cases[0]
print(case.validity.value, case.metrics["min_latency"])
"""
    assert python(checkout, source) == "valid 20.0"


def test_a_target(checkout: Path) -> None:
    source = """
from benchkit.load.plan import plan_cases
from benchkit.run.plain_target import PlainTarget
from benchkit.run.session import make_plan
from benchkit.run.target import ConnectedTarget
from benchkit.settings import load_settings
from builders.documents import environment
target: ConnectedTarget = PlainTarget("http://127.0.0.1:8000")
settings = load_settings(environ={"SCENARIOS": "gateway-core"})
cases = plan_cases(settings, target.routes, target.catalogue)
plan = make_plan(settings, target, cases, environment().machine, run_id="r", command="")
print([case.name for case in plan.cases if not case.skipped])
"""
    assert "health" in python(checkout, source)
