"""A run in an environment that is full of other things: the same verdict, the same figures, nobody's settings."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from toolkit import ROOT, Toolkit, left_behind, stub_gateway

pytestmark = pytest.mark.e2e


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, str]:
    """What people export, all at once."""
    for name in ("numpy", "pydantic", "requests", "argparse"):
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "__init__.py").write_text("raise RuntimeError('broken')\n", encoding="utf-8")
    (tmp_path / ".netrc").write_text("default login somebody password else\n", encoding="utf-8")
    (tmp_path / ".netrc").chmod(0o600)
    (tmp_path / "bash_env").write_text("exit 1\n", encoding="utf-8")
    nowhere = "http://127.0.0.1:1"
    return {
        "PYTHONPATH": str(tmp_path / "broken"),
        "PYTHONHOME": str(tmp_path / "broken"),
        "PYTHONSAFEPATH": "1",
        "PYTHONWARNINGS": "error",
        "PYTHONIOENCODING": "ascii:strict",
        "PYTHONSTARTUP": str(tmp_path / "bash_env"),
        "HOME": str(tmp_path),
        "LC_ALL": "C",
        "http_proxy": nowhere,
        "HTTP_PROXY": nowhere,
        "ALL_PROXY": nowhere,
        "CDPATH": f".:/tmp:{ROOT}",
        "BASH_ENV": str(tmp_path / "bash_env"),
        "POSIXLY_CORRECT": "1",
        "MAKEFLAGS": "-n",
        "ARGS": "--resume",
        "PORT": "1",
        "RUN": "x",
        "CASE": "x",
        "ENV_FILE": str(tmp_path / "env"),
        "PGHOST": "nowhere",
        "GODEBUG": "http2debug=2",
        "GOMAXPROCS": "1",
    }


def test_a_run_in_an_odd_environment_is_a_run_like_any_other(tmp_path: Path, odd: dict[str, str]) -> None:
    settings = {"GATEWAY": "external", "SCENARIOS": "tools", "PERF_ITERATIONS": "1", "GATEWAY_PASSWORD": "x"}
    kit = Toolkit(tmp_path / "a place", {**settings, **odd})
    with stub_gateway("none") as url:
        done = kit.measure("--url", url)
        assert done.returncode == 0, done.stderr
        assert (kit.place / "baselines" / "baseline_light.json").exists()
        assert not (tmp_path / "env").exists()
        # The scripts below utils/ and scenarios/, from elsewhere and through a link.
        (tmp_path / "link.sh").symlink_to(ROOT / "scenarios" / "tools-benchmark.sh")
        done = kit.run(str(tmp_path / "link.sh"), "--url", url, "--no-report", "--requests", "10", "--baseline", "skip")
        assert done.returncode == 0, done.stderr
        # With every case as it was, a damaged library is still no regression.
        done = kit.run("utils/compare_results.py", str(kit.place / "nowhere"))
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1, done.stderr
    assert left_behind(kit.place) == []


def test_a_load_that_the_limits_forbid_is_one_line(tmp_path: Path) -> None:
    kit = Toolkit(tmp_path / "a place", {"GATEWAY": "external", "SCENARIOS": "tools", "GATEWAY_PASSWORD": "x"})
    with stub_gateway("none") as url:
        command = f"ulimit -n 150; exec ./run-configurable.sh --no-report --url {url} --requests 200 --concurrency 200"
        done = kit.run("bash", "-c", command)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "a load of 200 at once needs 500: ulimit -n 4096" in done.stderr
    assert kit.run_dirs() == []


@pytest.mark.parametrize("name", ["run-configurable.sh", "scenarios/tools-benchmark.sh"])
def test_results_where_links_cannot_be_made(tmp_path: Path, name: str) -> None:
    """``latest`` is a directory of somebody's own: it stays, and the run passes."""
    kit = Toolkit(
        tmp_path / "a place",
        {"GATEWAY": "external", "SCENARIOS": "tools", "PERF_ITERATIONS": "1", "GATEWAY_PASSWORD": "x"},
    )
    own = kit.place / "results" / "latest"
    own.mkdir(parents=True)
    (own / "notes").write_text("mine", encoding="utf-8")
    with stub_gateway("none") as url:
        done = kit.run(f"./{name}", "--no-report", "--url", url, "--requests", "10", "--baseline", "skip")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in own.iterdir()] == ["notes"]


def test_the_scripts_run_in_a_login_shell_of_another_language(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            "bash",
            "-c",
            'cd / && exec env -i PATH="$PATH" LANG=xx_YY.ISO-8859-1 "$1" --help',
            "bash",
            str(ROOT / "run-all.sh"),
        ],
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0
    assert b"usage: " in done.stdout
