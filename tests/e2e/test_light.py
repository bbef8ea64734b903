"""The light profile on the real stack, by `make test` as everybody types it; one round, not three, for the time."""

from __future__ import annotations

import json

import pytest

from benchkit.settings import load_settings
from toolkit import Toolkit, left_behind, stack_ports

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Toolkit:
    """A toolkit with a stack of its own, in a directory with a space."""
    place = tmp_path_factory.mktemp("light") / "a place"
    return Toolkit(place, {**stack_ports(4), "PERF_STACK_DIR": str(place / "stack"), "PERF_ITERATIONS": "1"})


@pytest.fixture(scope="module")
def first_run(kit: Toolkit) -> Toolkit:
    """After `make test`, from nothing to the report."""
    done = kit.run("make", "-s", "test", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "saved" in done.stdout
    return kit


def test_every_case_is_valid_and_has_its_figures(first_run: Toolkit) -> None:
    cases = first_run.document()["cases"]
    assert [f"{case['id']}: {case['reason']}" for case in cases if case["validity"] != "valid"] == []
    measured = [case for case in cases if case["kind"] == "measured"]
    assert len(measured) == sum(len(one.cases) for one in load_settings(environ={}).config.scenarios.values())
    for case in measured:
        assert case["metrics"]["requests_per_sec"] > 0, case["id"]
        assert case["counts"]["ok"] == case["counts"]["sent"], case["id"]


def test_three_components_counted_the_same(first_run: Toolkit) -> None:
    run = first_run.document()
    counted = [case["counts"] for case in run["cases"] if case.get("counts", {}).get("server") is not None]
    assert len(counted) > 15
    assert [one for one in counted if one["server"] != one["sent"] and not one["cached"]] == []
    assert {one["kind"] for one in run["gateway_counts"] if one["settled"]} == {"tools", "resources", "prompts"}


def test_the_gateways_overhead_is_a_result_of_its_own(first_run: Toolkit) -> None:
    for name in ("overhead_rpc", "overhead_mcp"):
        metrics = first_run.case(f"gateway-core/{name}")["metrics"]
        assert metrics["added_p50_latency"] > 0
        assert 0 < metrics["throughput_ratio"] < 1


def test_the_environment_is_known(first_run: Toolkit) -> None:
    environment = first_run.document()["environment"]
    assert environment["target"]["origin"] == "local"
    assert environment["target"]["release"] == "1.0.7"
    assert environment["target"]["servers"] == 4
    assert environment["target"]["settings"]["RATE_LIMITING_ENABLED"] == "false"
    assert environment["machine"]["cores"] >= 1


def test_files_of_a_run(first_run: Toolkit) -> None:
    names = {path.name for path in first_run.run_dirs()[-1].iterdir()}
    assert {"plan.json", "run.json", "report.html", "raw"} <= names
    assert len([name for name in names if name.endswith(".txt")]) == 5
    assert (first_run.place / "baselines" / "baseline_light.json").exists()


def test_no_secret_in_any_result(first_run: Toolkit) -> None:
    secrets = [json.loads((first_run.place / "stack" / "secrets.json").read_text("utf-8"))]
    words = [value for document in secrets for value in document.values() if isinstance(value, str) and len(value) > 8]
    assert len(words) >= 3
    for path in (first_run.place / "results").rglob("*"):
        if path.is_file():
            text = path.read_text("utf-8", errors="replace")
            assert [word for word in words if word in text] == [], path
            assert "Bearer ey" not in text, path


def test_nothing_is_left_running(first_run: Toolkit) -> None:
    assert left_behind(first_run.place) == []
    assert not (first_run.place / "stack" / "stack.json").exists()


def test_the_next_run_is_compared(first_run: Toolkit) -> None:
    done = first_run.run("make", "-s", "test-tools", timeout=300)
    comparison = first_run.document("comparison.json")
    assert comparison["baseline"]["version"] == 1
    assert {case["id"] for case in comparison["cases"]} >= {"tools/list_limit_10", "tools/call_convert_time"}
    code = comparison["exit_code"]
    # One round of 100 requests on a busy machine may really be much slower; make turns the run's 1 into its own 2.
    assert (done.returncode, code) in ((0, 0), (2, 1)), done.stderr
    assert (comparison["verdict"] in ("regression", "critical")) is (code == 1)
    assert first_run.document()["exit_code"] == 0
    assert [line for line in done.stderr.splitlines() if line.endswith(f"(exit {code})")] != [], done.stderr
    assert "Not part of this run" in done.stdout
