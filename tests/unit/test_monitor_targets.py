"""Who is sampled: of the own stack, of a gateway here or elsewhere, of several; with Docker or without."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from docker.errors import DockerException

from benchkit.monitor import containers
from benchkit.monitor.sampler import Found
from benchkit.run import monitor_targets
from benchkit.run.variants import Variant, Variants
from benchkit.settings import load_settings
from benchkit.stack.state import StackPaths
from builders.stack_stub import StubStack, make_stub_stack


@pytest.fixture
def no_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Any:
        raise DockerException("Error while fetching server API version: nobody is there\nand more")

    monkeypatch.setattr(containers, "engine", refuse)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where no stack runs."""
    monkeypatch.setenv("PERF_STACK_DIR", str(tmp_path / "none"))
    return tmp_path


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def find(url: str, variants: Variants | None = None) -> list[Found]:
    settings = load_settings(environ={"GATEWAY_URL": url})
    return [finder() for finder in monitor_targets.finders(settings, variants)]


def seen(found: Found) -> dict[str, tuple[str, str]]:
    return {component.id: (component.kind, component.source) for component in (*found.processes, *found.containers)}


def test_a_gateway_on_this_machine(place: Path, no_docker: None, port: int) -> None:
    (found,) = find(f"http://localhost:{port}")
    assert seen(found) == {"gateway": ("gateway", "process")}
    assert next(iter(found.processes.values())) == psutil.Process()
    assert found.notes == ["the gateway was not started by the toolkit: its database, cache and servers are not known"]


def test_without_docker_a_listener_that_cannot_be_seen_is_a_note(place: Path, no_docker: None) -> None:
    (found,) = find("http://127.0.0.1:1")
    assert seen(found) == {}
    assert found.notes == [
        "port 1: its listener is not to be seen (another user's process, or none), so the gateway is not sampled; "
        "there is no Docker engine to ask (Error while fetching server API version: nobody is there)"
    ]


def test_the_engines_own_helper_is_not_the_gateway(
    place: Path, no_docker: None, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil.Process, "name", lambda self: "docker-proxy")
    (found,) = find(f"http://127.0.0.1:{port}")
    assert seen(found) == {}
    assert "its listener is a container's" in found.notes[0]


def test_a_gateway_elsewhere(place: Path) -> None:
    (found,) = find("https://gateway.example.com/mcp")
    assert seen(found) == {}
    assert found.notes == [
        "gateway.example.com: the gateway is on another machine: it and what it needs are not sampled"
    ]


def test_a_gateway_in_a_container_and_its_project(place: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {"com.docker.compose.project": "p"}
    answer = [
        {"Id": "1" * 64, "Names": ["/gw"], "Image": "gw", "Labels": labels, "Ports": [{"PublicPort": port}]},
        {"Id": "2" * 64, "Names": ["/db"], "Image": "postgres:17", "Labels": labels, "Ports": []},
    ]

    class Engine:
        class api:  # noqa: N801 - as the library calls it
            @staticmethod
            def containers() -> list[dict[str, Any]]:
                return answer

    monkeypatch.setattr(containers, "engine", Engine)
    (found,) = find(f"http://127.0.0.1:{port}")
    assert seen(found) == {"gw": ("gateway", "container"), "db": ("database", "container")}
    assert found.notes == ["db: a database in a container is not asked for its connections"]
    assert [key for key, _ in found.containers.values()] == ["1" * 64, "2" * 64]


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubStack]:
    made = make_stub_stack(tmp_path, monkeypatch)
    yield made
    made.down()


def test_the_own_stack_and_its_parts(stack: StubStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERF_STACK_DIR", str(stack.place.root))
    stack.up()
    (found,) = find(f"http://127.0.0.1:{stack.ports[0]}")
    assert seen(found) == {"gateway": ("gateway", "process"), "time1": ("server", "process")}
    assert all(process.is_running() for process in found.processes.values())
    assert found.notes == [
        "the gateway's database is SQLite: its work is part of the gateway's, and it has no connections to count"
    ]


def test_several_gateways_have_their_own_components_and_share_the_servers(
    stack: StubStack, port: int, no_docker: None
) -> None:
    stack.up()

    def variant(label: str, **rest: Any) -> Variant:
        return Variant(label=label, spec="x", settings={}, **rest)

    variants = Variants(
        variants=[
            variant("base", kind="release", url="http://127.0.0.1:9", place=str(stack.place.root)),
            variant("head", kind="running", url=f"http://127.0.0.1:{port}", place=str(stack.place.root / "none")),
        ],
        servers_place=str(stack.place.root),
        first_server_port=1,
    )
    base, head, servers = find("http://127.0.0.1:9", variants)
    assert list(seen(base)) == ["base/gateway", "base/time1"]
    assert list(seen(head)) == ["head/gateway"]
    assert list(seen(servers)) == ["gateway", "time1"]  # here the same stack; a real one has no gateway


def test_a_stack_that_is_about_to_be_started_again_has_nothing(tmp_path: Path) -> None:
    variants = Variants(
        variants=[
            Variant(
                label="a", spec="x", kind="release", url="http://127.0.0.1:9", settings={}, place=str(tmp_path / "a")
            )
        ],
        servers_place=str(tmp_path / "s"),
        first_server_port=1,
    )
    assert [seen(found) for found in find("http://127.0.0.1:9", variants)] == [{}, {}]
    assert not StackPaths(tmp_path / "a").root.exists()
