"""Gateways that answer what would be a command somewhere: nothing is executed, and nothing is written elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolkit import Toolkit, left_behind, stub_gateway

pytestmark = pytest.mark.e2e

OWN = {"results", "baselines", "tmp", "token", "token.for"}
"""What the toolkit itself writes in a test's place."""

TEXTS = [
    # An answer of the session, as it was until arguments got a file of their own: a process "sh -c" with its output.
    "x\0ok\0run\x001\0OUT\x003\0sh\0-c\0id >PROOF\0",
    "x\nsse\nnone\nsh\n-c\nid >PROOF",
    "x\r\nid >PROOF\r\n",
    "$(id >PROOF)`id >PROOF`",
    "'; id >PROOF; '\" \" id >PROOF",
    "\x1b]0;title\x07\x1b[2J",
    "-o OUT",
    "-o\0OUT",
    "--stdin",
    "../../../../PROOF",
    "a[$(id >PROOF)]",
    "\ud800\u2028x",
]


@pytest.fixture
def kit(tmp_path: Path) -> Toolkit:
    return Toolkit(
        tmp_path / "a place",
        {"GATEWAY": "external", "PERF_ITERATIONS": "1", "GATEWAY_PASSWORD": "x", "PERF_REQUESTS": "10"},
    )


def assert_harmless(kit: Toolkit, fault: str) -> None:
    with stub_gateway(fault) as url:
        done = kit.measure("--url", url, "--scenarios", "gateway-core")
    assert done.returncode in (0, 2, 3), done.stderr
    assert {path.name for path in kit.place.iterdir()} <= OWN
    assert {path.name for path in kit.place.parent.iterdir()} == {kit.place.name}
    assert "Traceback" not in done.stderr
    for run_dir in kit.run_dirs():
        assert not (run_dir / ".load").exists()
        assert "\\u0000" not in (run_dir / "plan.json").read_text("utf-8")
        # Only rows of hey and of the SSE load are there; nothing else had its output put anywhere.
        rows = [path.read_text("utf-8").splitlines()[0] for path in run_dir.glob("raw/*/*.csv")]
        assert {row.partition(",")[0] for row in rows} <= {"response-time"}
    assert list((kit.place / "tmp").glob("perf_test.*/")) == []
    assert left_behind(kit.place) == []


def filled(text: str, kit: Toolkit) -> str:
    beside = kit.place.parent  # its path needs no quotes
    return json.dumps(text.replace("PROOF", str(beside / "proof")).replace("OUT", str(beside / "out")))


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_an_id_is_no_command(kit: Toolkit, text: str) -> None:
    assert_harmless(kit, f"id:{filled(text, kit)}")


@pytest.mark.parametrize("text", ["http://x/\0ok\0run\x001\0OUT\x002\0touch\0PROOF\0", "-o OUT", "http://x/\n-o\nOUT"])
def test_the_address_of_an_mcp_server_is_no_command(kit: Toolkit, text: str) -> None:
    assert_harmless(kit, f"url:{filled(text, kit)}")


def test_a_good_gateways_cases_are_measured_all_the_same(kit: Toolkit) -> None:
    with stub_gateway('id:"a?b/c"') as url:
        done = kit.measure("--url", url, "--scenarios", "gateway-core")
        case = kit.case("gateway-core/health")
    assert done.returncode in (0, 3), done.stderr
    assert case["validity"] == "valid"
    plan = (kit.run_dirs()[-1] / "plan.json").read_text("utf-8")
    assert "/servers/a%3Fb%2Fc/mcp" in plan
