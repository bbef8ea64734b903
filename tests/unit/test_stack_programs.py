"""The stack as local processes: scripts and the supervisor's configuration."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.stack import postgres
from benchkit.stack.environment import new_secrets
from benchkit.stack.postgres import PostgresInstallation
from benchkit.stack.programs import Installation, Layout, Sockets, redis_url, render_environment, render_programs
from benchkit.stack.state import StackPaths
from benchkit.stack.supervisor import render_config
from benchkit.stack.topology import Database, GatewayNode, PostgresNode, ServerNode, Topology


def layout(database: Database = "sqlite", workers: int = 1) -> Layout:
    servers = [
        ServerNode(name="time1", port=9101, database="sqlite", seed=1203, tools=24),
        ServerNode(name="time2", port=9102, database="postgresql", seed=1203, tools=24),
    ]
    gateway = GatewayNode(
        version="1.0.7", installation="1.0.7", port=4444, workers=workers, database=database, settings={}
    )
    return Layout(
        topology=Topology(
            gateways=[gateway], servers=servers, postgres=PostgresNode(databases=["time2"], connections=30), redis=True
        ),
        place=StackPaths(Path("/home/me/my checkout 100%/.stack")),
        sockets=Sockets(Path("/tmp/mcp-benchmark-x")),
        installation=Installation(
            python=Path("/home/me/my checkout 100%/.venv/bin/python"),
            server_script=Path("/home/me/my checkout 100%/servers/time_server.py"),
            gateway=Path("/home/me/my checkout 100%/.tools/gateway/1.0.7"),
            postgres=PostgresInstallation(Path("/wheel/bin"), ("/bin/setpriv", "--reuid=65534", "--")),
            redis_server="/usr/bin/redis-server",
        ),
        secrets=new_secrets().model_copy(update={"jwt_secret_key": "the secret"}),
    )


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_scripts(golden: Callable[[str, object], None], database: Database) -> None:
    programs = render_programs(layout(database, workers=2))
    text = "".join(f"=== {program.name}\n{program.script}" for program in programs)
    assert "the secret" not in text
    golden(f"stack_programs_{database}.txt", text)


def test_supervisor_configuration(golden: Callable[[str, object], None]) -> None:
    made = layout()
    golden("stack_supervisord.conf", render_config(render_programs(made), made.sockets.supervisor))


def test_every_script_is_a_shell_script(tmp_path: Path) -> None:
    for program in render_programs(layout("postgresql")):
        result = subprocess.run(["/bin/sh", "-n"], input=program.script, text=True, capture_output=True, check=False)
        assert result.returncode == 0, result.stderr


def test_no_redis_no_url() -> None:
    made = layout()
    assert redis_url(made.topology, made.sockets) == "unix:///tmp/mcp-benchmark-x/redis.sock"
    assert redis_url(made.topology.model_copy(update={"redis": False}), made.sockets) is None


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")))
def test_the_shell_reads_what_was_written(value: str) -> None:
    script = render_environment({"NAME": value}) + 'printf %s "$NAME"'
    result = subprocess.run(["/bin/sh"], input=script.encode(), capture_output=True, check=True)
    assert result.stdout.decode() == value


def test_socket_paths_are_short_enough_for_every_system() -> None:
    sockets = Sockets(Path("/tmp/mcp-benchmark-12345678"))
    for path in (sockets.supervisor, sockets.redis, f"{sockets.postgres}/.s.PGSQL.5432"):
        # The supervisor binds to a name with its pid behind it first.
        assert len(path.encode()) + len(".4194304") <= 103


def test_the_newest_postgresql_of_the_wheel_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pginstall", "pginstall9", "pginstall18"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin" / "postgres").touch(mode=stat.S_IRWXU)

    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr("importlib.util.find_spec", lambda name: Spec)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert postgres.find_postgres() == PostgresInstallation(tmp_path / "pginstall18" / "bin")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_postgresql_of_root_finds_its_programs_where_only_root_may_look(tmp_path: Path) -> None:
    programs = tmp_path / "private" / "bin"
    programs.mkdir(parents=True)
    shutil.copy("/bin/true", programs / "postgres")
    programs.parent.chmod(stat.S_IRWXU)
    installation = postgres._as_nobody(programs)  # pylint: disable=protected-access  # what follows the wheel's search
    # As initdb does: by access(2), which goes by the real user's rights.
    looks = subprocess.run([*installation.prefix, "/usr/bin/test", "-x", str(programs / "postgres")], check=False)
    assert looks.returncode == 0
