"""Gateways that misbehave, and users who err: a clear line, the right exit code, nothing lost, no number made up.

Stand-in gateways here: a real one cannot be made to fail on demand in these ways. The load is real.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from toolkit import ROOT, Toolkit, left_behind, stub_gateway

pytestmark = pytest.mark.e2e

CALLS = ["tools/call_get_system_time", "tools/call_convert_time"]


@pytest.fixture
def kit(tmp_path: Path) -> Toolkit:
    """A toolkit whose runs are small: one round of the scenario ``tools``; in a directory with a space."""
    return Toolkit(
        tmp_path / "a place",
        {"GATEWAY": "external", "SCENARIOS": "tools", "PERF_ITERATIONS": "1", "GATEWAY_PASSWORD": "x"},
    )


def assert_no_figures(kit: Toolkit, case_id: str) -> str:
    """An invalid case has no latency and no throughput, nowhere; answers its reason."""
    case = kit.case(case_id)
    assert case["validity"] == "invalid"
    assert case["metrics"] == {}
    assert "histogram" not in case
    assert [one for one in case["iterations"] if one["metrics"]] == []
    return str(case["reason"])


def test_a_good_gateway_passes_and_becomes_the_baseline(kit: Toolkit) -> None:
    with stub_gateway("none") as url:
        done = kit.measure("--url", url)
        assert done.returncode == 0, done.stderr
        assert (kit.place / "baselines" / "baseline_light.json").exists()
        assert kit.case("tools/list_limit_50")["metrics"]["requests_per_sec"] > 0
        assert kit.document()["exit_code"] == 0
        assert (kit.place / "results" / "latest").resolve() == kit.run_dirs()[-1].resolve()
    assert left_behind(kit.place) == []


@pytest.mark.parametrize(
    ("fault", "warning"),
    [
        ("no-record", "it does not record them (DB_METRICS_RECORDING_ENABLED)"),
        ("late-failures", "earlier executions were counted late"),
        ("reset", "fell during the run"),
    ],
)
def test_a_gateway_whose_own_counts_say_nothing_of_the_run_is_measured(kit: Toolkit, fault: str, warning: str) -> None:
    kit.environ["PERF_WARMUP_REQUESTS"] = "0"
    with stub_gateway(fault) as url:
        done = kit.measure("--url", url)
    assert done.returncode == 0, done.stderr
    assert [line for line in kit.document()["warnings"] if warning in line] != []
    assert {kit.case(case)["validity"] for case in CALLS} == {"valid"}
    counts = kit.document()["gateway_counts"]
    assert [one for one in counts if min(one["succeeded"], one["failed"]) < 0] == []


@pytest.mark.parametrize("fault", ["rpc-error", "bare"])
def test_rpc_errors_with_200_are_no_throughput(kit: Toolkit, fault: str) -> None:
    with stub_gateway(fault) as url:
        done = kit.measure("--url", url)
    assert done.returncode == 3, done.stderr
    for case in CALLS:
        assert "JSON-RPC error -32601: Tool not found: x" in assert_no_figures(kit, case)
    assert not (kit.place / "baselines" / "baseline_light.json").exists()
    assert "exit 3" in done.stderr.splitlines()[-1]


def test_rpc_errors_that_begin_under_load_are_noticed(kit: Toolkit) -> None:
    with stub_gateway("rpc-error-late") as url:
        done = kit.measure("--url", url)
    assert done.returncode == 3, done.stderr
    assert "Tool not found" in assert_no_figures(kit, "tools/call_convert_time")


def test_a_rate_limit_is_named_with_its_count_and_its_setting(kit: Toolkit) -> None:
    with stub_gateway("rate-limit") as url:
        done = kit.measure("--url", url, "--requests", "500")
    assert done.returncode == 3, done.stderr
    reason = assert_no_figures(kit, "tools/call_get_system_time")
    # 100 are answered, some of them to the warm-up; how many requests the checkers send depends on their time.
    limited = re.match(r"(\d+) of (\d+) answers were HTTP 429", reason)
    assert limited is not None, reason
    assert 80 <= int(limited[2]) - int(limited[1]) <= 95
    assert "429" in reason
    assert "RATE_LIMITING_ENABLED=false" in reason


def test_dropped_connections_are_counted_although_hey_hides_them(kit: Toolkit) -> None:
    with stub_gateway("drop-tenth") as url:
        done = kit.measure("--url", url, "--requests", "200")
    assert done.returncode == 3, done.stderr
    # A GET whose connection broke hey sends again, a POST it does not.
    reason = assert_no_figures(kit, "tools/call_get_system_time")
    lost = re.match(r"(\d+) of (\d+) requests got no answer", reason)
    assert lost is not None, reason
    # A checker sends its request again on a new connection, so it loses fewer.
    assert 0.06 <= int(lost[1]) / int(lost[2]) <= 0.12
    raw = kit.run_dirs()[-1] / "raw" / "tools"
    rows = (raw / "call_get_system_time.1.csv").read_text("utf-8").splitlines()
    [part] = json.loads((raw / "call_get_system_time.1.json").read_text("utf-8"))["parts"]
    # The load generator's own, and the checkers'.
    assert part["sent"] - (len(rows) - 1) + part["checks"]["failed"].get("transport", 0) == int(lost[1])


def test_a_slow_gateway_times_out(kit: Toolkit) -> None:
    with stub_gateway("slow") as url:
        done = kit.measure("--url", url, "--timeout", "1")
    assert done.returncode == 3, done.stderr
    assert "no answer within 1 s" in assert_no_figures(kit, "tools/call_convert_time")
    assert kit.case("tools/list_limit_10")["validity"] == "valid"


def test_a_gateway_that_dies_in_the_middle_of_a_case(kit: Toolkit) -> None:
    with stub_gateway("die") as url:
        done = kit.measure("--url", url)
    assert done.returncode == 3, done.stderr
    assert (
        "Connection refused" in assert_no_figures(kit, "tools/call_convert_time") or "stopped answering" in done.stdout
    )
    assert left_behind(kit.place) == []


def test_a_gateway_that_refuses_the_password(kit: Toolkit) -> None:
    with stub_gateway("refuse-login") as url:
        done = kit.measure("--url", url)
    assert done.returncode == 2
    assert "GATEWAY_PASSWORD" in done.stderr
    assert kit.run_dirs() == []


def test_no_gateway_at_all(kit: Toolkit) -> None:
    done = kit.measure("--url", "http://127.0.0.1:1")
    assert done.returncode == 2
    assert "no gateway answers at http://127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_runs_at_once(kit: Toolkit) -> None:
    with stub_gateway("none") as url, kit.start("./run-configurable.sh", "--no-report", "--url", url) as first:
        assert first.stderr is not None
        while "round 1/1" not in first.stderr.readline():
            assert first.poll() is None, "the first run ended early"
        second = kit.measure("--url", url)
        first.communicate(timeout=60)
    assert second.returncode == 2
    assert f"another run measures on this machine (pid {first.pid}, run-configurable.sh)" in second.stderr
    assert first.returncode == 0
    assert len(kit.run_dirs()) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b'{"schema', "is damaged"), (b'{"schema_version": 99}', "schema_version 99")],
)
def test_a_baseline_that_cannot_be_read_is_left_alone(kit: Toolkit, content: bytes, words: str) -> None:
    path = kit.place / "baselines" / "baseline_light.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with stub_gateway("none") as url:
        done = kit.measure("--url", url)
    assert done.returncode == 2
    assert words in done.stderr
    assert path.read_bytes() == content
    assert "the comparison failed" in done.stderr


def test_a_payload_that_is_not_json(kit: Toolkit, tmp_path: Path) -> None:
    payloads = tmp_path / "payloads"
    shutil.copytree(ROOT / "payloads" / "tools", payloads)
    (payloads / "convert_time.json").write_text("{not json", "utf-8")
    config = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    config["scenarios"]["tools"]["payloads_dir"] = str(payloads)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    kit.environ["PERF_CONFIG"] = str(tmp_path / "config.yaml")
    with stub_gateway("none") as url:
        done = kit.measure("--url", url)
    assert done.returncode == 2
    assert f"{payloads}/convert_time.json: the payload is damaged: not JSON at line 1" in done.stderr


def test_a_full_disk_ends_the_run_with_a_clear_line(kit: Toolkit, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount the small disk that this test fills")
    disk = tmp_path / "small disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1100k", "tmpfs", str(disk)], check=True)
    try:
        kit.environ["RESULTS_DIR"] = str(disk)
        with stub_gateway("none") as url:
            done = kit.measure("--url", url, "--requests", "2000")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert done.returncode == 2
    assert re.search(r"the disk is full|No space left on device", done.stderr)
    assert "Traceback" not in done.stderr
    assert left_behind(kit.place) == []


def test_no_write_permission(kit: Toolkit) -> None:
    kit.environ["RESULTS_DIR"] = "/proc/results"
    done = kit.measure("--url", "http://127.0.0.1:1")
    assert done.returncode == 2
    assert "/proc/results: results cannot be written there" in done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--profile", "nope"], "there is no profiles/nope.env"),
        (["--scenarios", "tools,nope"], "there is no scenario 'nope'"),
        (["--requests", "5"], "each worker needs at least one request"),
        (["--baseline", "perhaps"], "invalid choice"),
        (["--requests"], "expected one argument"),
        (["--speed", "9"], "unrecognized arguments: --speed"),
    ],
)
def test_usage_errors(kit: Toolkit, flags: list[str], words: str) -> None:
    kit.environ.pop("SCENARIOS", None)
    done = kit.measure(*flags)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert kit.run_dirs() == []


def test_make_hands_settings_on_and_tells_the_code(kit: Toolkit) -> None:
    with stub_gateway("rpc-error") as url:
        done = kit.run("make", "-s", "test-tools", f"GATEWAY_URL={url}", "PERF_REQUESTS=20", "LOG_LEVEL=error")
    assert done.returncode == 2, "make's own code for any failure"
    assert kit.document()["exit_code"] == 3
    assert "(exit 3)" in done.stderr or kit.document()["exit_reason"]


def test_the_token_is_nowhere(kit: Toolkit) -> None:
    kit.environ["GATEWAY_TOKEN"] = "aaaa.s3cr3t.bbbb"
    with stub_gateway("none") as url:
        done = kit.run("./run-configurable.sh", "--url", url)
    assert done.returncode == 0, done.stderr
    assert "s3cr3t" not in done.stdout + done.stderr
    files = [path for path in kit.place.rglob("*") if path.is_file()]
    assert [path for path in files if b"s3cr3t" in path.read_bytes()] == []
    assert len(files) > 10


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, *sys.argv[1:]]))
