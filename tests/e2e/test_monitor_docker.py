"""The monitor and a real Docker engine: skipped where there is none.

Needs an engine that the environment names or the usual one (as root: `dockerd &`), and a static busybox, of which the
image is made, for no registry may be reachable: `apt-get install docker.io iptables busybox-static`.
"""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
import tarfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import DockerException

from benchkit.model import MonitorHeader, MonitorSample
from toolkit import ROOT, free_port

pytestmark = pytest.mark.e2e

BUSYBOX = Path("/bin/busybox")
IMAGE = "benchmark-monitor-test"
PROJECT = f"benchmark-monitor-{os.getpid()}"

BUSY_CORES = 0.2
"""How much of a core the gateway's stand-in gets; it takes all that it can have."""


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    problem = ""
    try:
        client = docker.from_env(timeout=20)
        client.ping()
    except DockerException as error:
        problem = str(error)
    if problem:
        with warnings.catch_warnings():
            # The library leaves the socket open with which it could not connect.
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        pytest.skip(f"no Docker engine: {problem}")
    if not BUSYBOX.exists():
        pytest.skip("no static busybox to make an image of: apt-get install busybox-static")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(BUSYBOX, "bin/busybox")
    client.api.import_image_from_data(archive.getvalue(), repository=IMAGE)
    yield client
    for container in client.containers.list(all=True, filters={"label": f"com.docker.compose.project={PROJECT}"}):
        container.remove(force=True)
    client.images.remove(IMAGE, force=True)
    client.close()


def run_container(engine: docker.DockerClient, service: str, command: str, **more: Any) -> str:
    """Start a container as compose would; answers its id."""
    labels = {"com.docker.compose.project": PROJECT, "com.docker.compose.service": service}
    words = ["/bin/busybox", "sh", "-c", command]
    container = engine.containers.run(IMAGE, words, detach=True, labels=labels, stop_signal="SIGKILL", **more)
    return str(container.id)


@pytest.fixture
def port(engine: docker.DockerClient) -> int:
    """A gateway that is busy, published on loopback, and a database that is not."""
    number = free_port()
    run_container(
        engine,
        "front",
        "while :; do :; done",
        ports={"80/tcp": ("127.0.0.1", number)},
        nano_cpus=int(BUSY_CORES * 1e9),
    )
    run_container(engine, "postgres", "sleep 600 2>/dev/null || /bin/busybox sleep 600")
    return number


def samples(file: Path) -> list[MonitorSample]:
    if not file.exists():
        return []
    return [MonitorSample.model_validate_json(line) for line in file.read_text("utf-8").splitlines()[1:]]


def monitor_until(tmp_path: Path, port: int, count: int) -> tuple[MonitorHeader, list[MonitorSample]]:
    """Run the monitor until so many samples have the front container's use of CPU."""
    file = tmp_path / "monitor.jsonl"
    environment = {**os.environ, "GATEWAY_URL": f"http://127.0.0.1:{port}", "PERF_STACK_DIR": str(tmp_path / "none")}
    words = [sys.executable, str(ROOT / "utils" / "monitor.py"), "--shell", str(os.getpid()), str(file)]
    with subprocess.Popen(words, env=environment) as process:
        try:
            deadline = time.monotonic() + 30
            while sum("front" in one.cpu_percent for one in samples(file)) < count:
                assert process.poll() is None, "the monitor ended"
                assert time.monotonic() < deadline, file.read_text("utf-8") if file.exists() else "no file"
                time.sleep(0.1)
        finally:
            process.terminate()
    return MonitorHeader.model_validate_json(file.read_text("utf-8").splitlines()[0]), samples(file)


def test_a_gateway_in_a_container_and_the_others_of_its_project(
    engine: docker.DockerClient, port: int, tmp_path: Path
) -> None:
    header, seen = monitor_until(tmp_path, port, 5)
    found = {component.name: (component.kind, component.source) for component in header.components}
    assert found["front"] == ("gateway", "container")
    assert found["postgres"] == ("database", "container")
    assert header.notes == ["postgres: a database in a container is not asked for its connections"]
    busy = [one.cpu_percent["front"] for one in seen if "front" in one.cpu_percent]
    assert sum(busy) / len(busy) == pytest.approx(100 * BUSY_CORES, rel=0.5)
    assert seen[-1].memory_mib["front"] > 0
    assert seen[-1].cpu_percent["postgres"] < 5
    own = [one.cpu_percent["monitor"] for one in seen if "monitor" in one.cpu_percent]
    print(f"front {busy} %, monitor {own} %")
    assert sum(own) / len(own) < 2.0
