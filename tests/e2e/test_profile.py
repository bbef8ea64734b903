"""A profile of the real gateway: written, no run of any kind, and nothing left when it is cut short."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchkit import store
from benchkit.model import RunStatus, Validity
from benchkit.model.cpu_profile import IDLE, Profile
from toolkit import Toolkit, left_behind, stack_ports, stub_gateway

pytestmark = pytest.mark.e2e

_PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def toolkit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toolkit]:
    """A place with a stack that runs."""
    place = tmp_path_factory.mktemp("profile")
    environ = {
        **stack_ports(1),
        "PERF_SERVERS_COUNT": "1",
        "PERF_STACK_DIR": str(place / "stack"),
        "PERF_SAMPLE_PAIRS": "1",
    }
    one = Toolkit(place, environ)
    up = one.run(".venv/bin/python", "utils/stack.py", "up", timeout=150)
    assert up.returncode == 0, up.stderr
    yield one
    one.run(".venv/bin/python", "utils/stack.py", "down")
    assert left_behind(place) == []


def samplers() -> list[int]:
    """Those that record; one that only tries is none."""
    return [
        one.pid
        for one in psutil.process_iter(["cmdline"])
        if {"record", "chrometrace"} <= {*(one.info["cmdline"] or [])}
    ]


def profile_of(run: Path) -> Profile:
    return store.load(run / "profile.json", Profile, "profile")


def test_where_the_time_of_the_real_gateway_goes(toolkit: Toolkit) -> None:
    done = toolkit.run("./run-profile.sh", "--case", "gateway-core/ready", "--requests", "200")
    assert done.returncode == 0, done.stderr
    run = toolkit.run_dirs()[-1]
    assert run.name.startswith("profile_")
    assert not (run / "run.json").exists()
    assert list((toolkit.place / "baselines").iterdir()) == []
    assert not (toolkit.place / "results" / "latest").exists()
    profile = profile_of(run)
    assert (profile.validity, profile.status) == (Validity.VALID, RunStatus.COMPLETE)
    assert [one.sampled for one in profile.rounds] == [False, True]
    assert sum(one.share or 0.0 for one in profile.categories if one.category not in IDLE) == pytest.approx(1, abs=0.01)
    assert any(one.frame.place.startswith(("mcpgateway/", "starlette/")) for one in profile.functions)
    assert "Where the time goes: gateway-core/ready" in done.stdout
    assert (run / "profile.html").exists()
    assert done.stderr.splitlines()[-1].endswith("(exit 0)")


def test_cut_short_while_it_samples(toolkit: Toolkit) -> None:
    with toolkit.start("./run-profile.sh", "--case", "gateway-core/ready", "--requests", "20000") as process:
        end = time.monotonic() + _PATIENCE_S
        before = samplers()
        # The first round, without the sampler, would take minutes: its load is ended, and the next one begins.
        while set(samplers()) <= set(before) and time.monotonic() < end:
            for one in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if one.name() == "hey":
                        one.send_signal(signal.SIGINT)
            time.sleep(0.2)
        assert set(samplers()) > set(before), "it never sampled"
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=40)
    assert process.returncode == 143, err
    assert set(samplers()) <= set(before)
    profile = profile_of(toolkit.run_dirs()[-1])
    assert (profile.status, profile.exit_code) == (RunStatus.INTERRUPTED, 143)
    assert "what was sampled is kept and marked" in err


def test_another_gateway_is_refused(tmp_path: Path) -> None:
    with stub_gateway("none") as url:
        place = Toolkit(tmp_path, {"GATEWAY_URL": url, "PERF_STACK_DIR": str(tmp_path / "stack")})
        done = place.run("./run-profile.sh", "--case", "tools/list_limit_50")
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "is not the local stack's, so its process cannot be sampled" in errors[0]
    assert left_behind(tmp_path) == []
