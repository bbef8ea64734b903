"""Two gateways side by side: what is known to be slower is found, equals are equals, and nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from toolkit import Toolkit, left_behind, stack_ports, stub_gateway

pytestmark = pytest.mark.e2e

LISTS = ("--scenarios", "tools", "--cases", "tools/list_limit_*", "--requests", "60", "--blocks", "5")


@pytest.fixture
def kit(tmp_path: Path) -> Toolkit:
    """A toolkit with a stack directory of its own, in a directory with a space."""
    place = tmp_path / "a place"
    return Toolkit(place, {"GATEWAY_PASSWORD": "x", "PERF_STACK_DIR": str(place / "stack")})


def comparison(kit: Toolkit) -> dict[str, Any]:
    """The newest comparison."""
    data: dict[str, Any] = json.loads((kit.place / "results" / "latest" / "comparison.json").read_text("utf-8"))
    return data


def test_a_gateway_that_is_slower_by_a_known_amount(kit: Toolkit) -> None:
    with stub_gateway("delay-20") as base, stub_gateway("delay-30") as head:
        done = kit.run("./run-advanced.sh", "--base", base, "--head", head, *LISTS, timeout=180)
    assert done.returncode == 1, done.stderr
    found = comparison(kit)
    assert found["mode"] == "paired"
    assert {case["verdict"] for case in found["cases"]} == {"critical"}
    for case in found["cases"]:
        p50 = case["metrics"]["p50_latency"]
        low, high = p50["interval"]
        # The stub and the way to it take time as well, on both sides alike: what is known is the 10 ms between them.
        assert low - 2 < -100 * 10 / p50["reference"] < high + 2, p50
        assert p50["samples"] == 5
    assert "regression" in done.stderr.splitlines()[-1]
    assert "(exit 1)" in done.stderr.splitlines()[-1]
    assert (kit.place / "results" / "latest" / "report.html").exists()
    assert left_behind(kit.place) == []


def test_equals_are_equals_and_the_same_files_give_the_same_bytes(kit: Toolkit) -> None:
    with stub_gateway("delay-20") as base, stub_gateway("delay-20") as head:
        done = kit.run("./run-advanced.sh", "--base", base, "--head", head, "--no-report", *LISTS, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    found = comparison(kit)
    assert {case["verdict"] for case in found["cases"]} <= {"unchanged", "inconclusive"}
    directory = (kit.place / "results" / "latest").resolve()
    before = (directory / "comparison.json").read_bytes()
    again = kit.run(
        "utils/compare_results.py",
        str(directory / "head"),
        "--against",
        str(directory / "base"),
        "--output-dir",
        str(directory),
    )
    assert again.returncode == 0, again.stderr
    assert (directory / "comparison.json").read_bytes() == before


def test_a_gateway_that_answers_with_errors_is_invalid_and_not_fast(kit: Toolkit) -> None:
    with stub_gateway("none") as base, stub_gateway("rpc-error") as head:
        done = kit.run(
            "./run-advanced.sh", "--base", base, "--head", head, "--no-report", "--scenarios", "tools", "--cases",
            "tools/call_get_system_time,tools/list_limit_10", "--requests", "60", "--blocks", "5", timeout=180,
        )  # fmt: skip
    assert done.returncode == 3, done.stderr
    verdicts = {case["id"]: case["verdict"] for case in comparison(kit)["cases"]}
    assert verdicts["tools/call_get_system_time"] == "invalid"
    assert verdicts["tools/list_limit_10"] != "invalid"
    # The base was fine, and nobody interrupted it: it only was not measured any further.
    base = json.loads((kit.place / "results" / "latest" / "base" / "run.json").read_text("utf-8"))
    assert base["status"] == "complete"
    assert {case["id"]: case["validity"] for case in base["cases"]}["tools/list_limit_10"] == "valid"


def test_what_the_head_lost_is_missing_and_does_not_pass(kit: Toolkit) -> None:
    with stub_gateway("none") as base, stub_gateway("lost-tool") as head:
        done = kit.run(
            "./run-advanced.sh", "--base", base, "--head", head, "--no-report", "--scenarios", "tools", "--cases",
            "tools/call_get_system_time,tools/list_limit_10", "--requests", "20", "--blocks", "5", "--rounds", "2",
            timeout=180,
        )  # fmt: skip
    assert done.returncode == 3, done.stderr
    cases = {case["id"]: case for case in comparison(kit)["cases"]}
    assert cases["tools/call_get_system_time"]["verdict"] == "missing"
    assert cases["tools/list_limit_10"]["metrics"]["p50_latency"]["samples"] in (5, 10)
    head_run = json.loads((kit.place / "results" / "latest" / "head" / "run.json").read_text("utf-8"))
    iterations = next(case["iterations"] for case in head_run["cases"] if case["id"] == "tools/list_limit_10")
    assert len(iterations) in (10, 20)


def test_nobody_answers(kit: Toolkit) -> None:
    with stub_gateway("none") as base:
        done = kit.run("./run-advanced.sh", "--base", base, "--head", "http://127.0.0.1:9", *LISTS)
    assert done.returncode == 2
    assert "http://127.0.0.1:9" in done.stderr
    assert left_behind(kit.place) == []


def test_two_real_gateways_interrupted_in_a_block(kit: Toolkit) -> None:
    """Started by the toolkit, stopped by it: everything within 10 s, and what was measured is kept and marked."""
    ports = stack_ports(6)
    first = int(ports["PERF_FIRST_SERVER_PORT"])
    kit.environ["PERF_SERVERS_COUNT"] = "2"
    config = kit.place / "config.yaml"
    kit.environment()
    text = Path("config.yaml").read_text("utf-8")
    config.write_text(
        text.replace("first_port: 4460", f"first_port: {first}").replace(
            "first_server_port: 9161", f"first_server_port: {first + 2}"
        ),
        "utf-8",
    )
    kit.environ["PERF_CONFIG"] = str(config)
    command = ("./run-advanced.sh", "--base", "1.0.7", "--head", "1.0.7", "--head-env", "LOG_LEVEL=INFO")
    with kit.start(
        *command, "--scenarios", "gateway-core", "--cases", "gateway-core/health", "--requests", "20"
    ) as process:
        results = kit.place / "results"
        deadline = time.monotonic() + 180
        while not list(results.glob("paired_*/head/raw/gateway-core/health.2.csv")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "the second block did not begin"
            time.sleep(0.1)
        begun = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
        took = time.monotonic() - begun
    assert process.returncode == 130, err
    assert took < 10, err
    assert left_behind(kit.place) == []
    for variant in ("base", "head"):
        run = json.loads(next(results.glob(f"paired_*/{variant}/run.json")).read_text("utf-8"))
        assert run["status"] == "interrupted"
        assert run["variant"]["label"] == variant
