"""What goes wrong on the real stack: an MCP server that dies under load, a gateway that is killed in the middle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from toolkit import Toolkit, left_behind, stack_ports

pytestmark = pytest.mark.e2e


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Toolkit]:
    """A toolkit whose stack (two servers) is up; it is stopped afterwards."""
    place = tmp_path / "a place"
    small = {"PERF_SERVERS_COUNT": "2", "PERF_ITERATIONS": "1", "SCENARIOS": "tools"}
    kit = Toolkit(place, {**stack_ports(2), **small, "PERF_STACK_DIR": str(place / "stack")})
    up = kit.run("make", "-s", "up", timeout=240)
    assert up.returncode == 0, up.stderr
    yield kit
    down = kit.run("make", "-s", "down")
    assert down.returncode == 0, down.stderr
    assert left_behind(place) == []


def listener(url: str) -> psutil.Process:
    """The process that listens at an address of this machine."""
    port = int(url.split(":")[2].split("/")[0])
    pids = {c.pid for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port}
    return psutil.Process(next(iter(pids - {None})))


def run_and_kill(kit: Toolkit, url: str, when: str) -> tuple[int, str]:
    """Measure, and kill the process at ``url`` soon after the line with ``when``; answers exit code and messages."""
    with kit.start("./run-configurable.sh", "--no-report", "--requests", "200") as run:
        assert run.stderr is not None
        seen = []
        for line in run.stderr:
            seen.append(line)
            if when in line:
                break
        victim = listener(url)
        victim.kill()
        out, err = run.communicate(timeout=180)
    return run.returncode, "".join(seen) + err + out


def test_an_mcp_server_killed_under_load(kit: Toolkit) -> None:
    state = json.loads((kit.place / "stack" / "stack.json").read_text("utf-8"))
    code, said = run_and_kill(kit, state["servers"][0]["url"], "round 1/1  tools/call_get_system_time ")
    assert code == 3, said
    case = kit.case("tools/call_convert_time")
    assert case["validity"] == "invalid"
    assert case["metrics"] == {}
    assert kit.case("tools/list_limit_10")["validity"] == "valid"
    assert "Traceback" not in said


def test_a_gateway_killed_under_load(kit: Toolkit) -> None:
    code, said = run_and_kill(kit, kit.environ["GATEWAY_URL"], "round 1/1  tools/list_limit_50 ")
    assert code == 3, said
    assert "no answer" in kit.case("tools/call_convert_time")["reason"] or "stopped answering" in said
    assert kit.case("tools/list_limit_10")["validity"] == "valid"
    assert "Traceback" not in said
