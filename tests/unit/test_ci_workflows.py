"""The CI files: their formats' own schemas, their shell under shellcheck, their jobs and what they call."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchkit.settings import ENVIRONMENT, ROOT

GITHUB = ROOT / ".github" / "workflows" / "performance.yml"
GITLAB = ROOT / ".gitlab-ci.yml"
SHELLCHECK = Path(sys.executable).with_name("shellcheck")

WORKFLOW: dict[str, Any] = yaml.load(GITHUB.read_text("utf-8"), Loader=yaml.BaseLoader)
PIPELINE: dict[str, Any] = yaml.safe_load(GITLAB.read_text("utf-8"))
GITLAB_JOBS = {
    name: job for name, job in PIPELINE.items() if isinstance(job, dict) and "script" in job and name[0] != "."
}


def github_blocks() -> dict[str, str]:
    return {
        f"{job}: {step['name']}": step["run"]
        for job, said in WORKFLOW["jobs"].items()
        for step in said["steps"]
        if "run" in step
    }


def gitlab_blocks() -> dict[str, str]:
    """GitLab runs the lines of ``before_script`` and ``script`` as one script."""
    before = PIPELINE[".performance"]["before_script"]
    return {name: "\n".join([*before, *job["script"]]) + "\n" for name, job in GITLAB_JOBS.items()}


BLOCKS = {f"github {name}": text for name, text in github_blocks().items()} | {
    f"gitlab {name}": text for name, text in gitlab_blocks().items()
}


@pytest.mark.parametrize(("path", "schema"), [(GITHUB, "vendor.github-workflows"), (GITLAB, "vendor.gitlab-ci")])
def test_the_file_fits_its_published_schema(path: Path, schema: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("text", BLOCKS.values(), ids=BLOCKS.keys())
def test_shellcheck_finds_nothing(text: str) -> None:
    # The runners' own settings: GitHub's `shell: bash` is `bash -eo pipefail`, GitLab's shell sets the same.
    script = f"#!/usr/bin/env bash\nset -eo pipefail\n{text}"
    done = subprocess.run([SHELLCHECK, "-s", "bash", "-"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("text", github_blocks().values(), ids=github_blocks().keys())
def test_no_expression_is_pasted_into_a_script(text: str) -> None:
    assert "${{" not in text


def test_actions_are_pinned_by_commit_with_their_version_as_a_comment() -> None:
    used = re.findall(r"^ +uses: (.*)", GITHUB.read_text(encoding="utf-8"), re.MULTILINE)
    assert used
    for pin in used:
        assert re.fullmatch(r"actions/[a-z/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", pin)
    assert len(set(used)) == len({pin.partition("@")[0] for pin in used})


def test_jobs_may_only_read_and_keep_no_credentials() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in WORKFLOW["jobs"].values())
    checkouts = [step for job in WORKFLOW["jobs"].values() for step in job["steps"] if "checkout@" in str(step)]
    assert {step["with"]["persist-credentials"] for step in checkouts} == {"false"}


def test_the_toolkit_is_taken_by_the_tag_of_its_release() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tag = f"v{project['project']['version']}"
    assert f"vars.PERF_TOOLKIT_REF || '{tag}'" in WORKFLOW["env"]["TOOLKIT_REF"]
    assert PIPELINE["variables"]["PERF_TOOLKIT_REF"] == tag
    assert "@main" not in GITHUB.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in github_blocks() if name.endswith((": Measure", ": Check"))])
def test_what_a_gateway_says_is_no_command_to_the_runner(tmp_path: Path, name: str) -> None:
    """The real block, up to its first own command; what it printed then is what the runner reads."""
    text = github_blocks()[name]
    before, _, _ = text.partition("utils/setup.sh" if "utils/setup.sh" in text else "measured=()")
    before += (
        "if [ \"$(trap -p EXIT)\" = '' ]; then trap 'echo \"::$quiet::\"' EXIT; fi\necho '##[error]from a gateway'\n"
    )
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", before], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    stop, said, resume = done.stdout.splitlines()
    token = stop.removeprefix("::stop-commands::")
    assert (said, resume) == ("##[error]from a gateway", f"::{token}::")
    assert len(token) >= 32
    assert '"::$quiet::"\' EXIT' in text


@pytest.mark.parametrize(
    ("code", "block_on", "verdict", "expected"),
    [
        (0, "regression", "unchanged", 0),
        (1, "regression", "regression", 1),
        (1, "critical", "regression", 0),
        (1, "critical", "critical", 1),
        (1, "critical", "unchanged", 1),
        (1, "critical", "null", 1),
        (1, "critical", "", 1),
        (3, "critical", "invalid", 3),
        (2, "regression", "", 2),
    ],
)
@pytest.mark.parametrize("system", ["github", "gitlab"])
def test_what_blocks_a_merge(
    tmp_path: Path, system: str, code: int, block_on: str, verdict: str, expected: int
) -> None:
    """The real blocks, with ``jq`` as a stub that says the verdict; without one, as if there were no such file."""
    said = f'[ "$1 $2" = "-r .verdict" ] && echo {verdict}' if verdict else "exit 2"
    (tmp_path / "jq").write_text(f"#!/bin/sh\n{said}\n", encoding="utf-8")
    (tmp_path / "jq").chmod(0o755)
    if system == "github":
        text = github_blocks()["pull-request: Verdict"]
    else:
        lines = GITLAB_JOBS["performance merge request"]["script"]
        text = "\n".join([f"code={code}", *lines[-2:]])
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", text],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "CODE": str(code), "BLOCK_ON": block_on, "PERF_BLOCK_ON": block_on},
        capture_output=True,
        check=False,
    )
    assert done.returncode == expected


def git(place: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@b", "-C", place, *words],
        env={"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def merged(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A gateway's repository, and its commits by name: where a branch left main, both ends, and their merge."""
    place = tmp_path / "origin"
    place.mkdir()
    git(place, "init", "-q", "-b", "main")
    commits = {}

    def commit(name: str) -> None:
        (place / name).write_text(name, encoding="utf-8")
        git(place, "add", name)
        git(place, "commit", "-q", "-m", name)
        commits[name] = git(place, "rev-parse", "HEAD")

    commit("fork")
    git(place, "checkout", "-q", "-b", "branch")
    commit("first")
    commit("branch")
    git(place, "checkout", "-q", "main")
    commit("main")
    git(place, "merge", "-q", "--no-ff", "-m", "merge", "branch")
    commits["merge"] = git(place, "rev-parse", "HEAD")
    return place, commits


def files_of(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()} - {".git"}


def test_on_github_base_and_head_differ_by_the_pull_request_alone(
    tmp_path: Path, merged: tuple[Path, dict[str, str]]
) -> None:
    checkout = next(
        step for step in WORKFLOW["jobs"]["pull-request"]["steps"] if step.get("with", {}).get("path") == "head"
    )
    assert "ref" not in checkout["with"]
    depth = checkout["with"]["fetch-depth"]
    git(tmp_path, "clone", "-q", "--depth", depth, merged[0].as_uri(), "head")
    (tmp_path / "toolkit").mkdir()
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "of an earlier job").write_text("", encoding="utf-8")
    command = ["bash", "-eo", "pipefail", "-c", github_blocks()["pull-request: Check out the base"]]
    # Twice, as on a runner that keeps its directories.
    for _ in range(2):
        subprocess.run(command, cwd=tmp_path / "toolkit", capture_output=True, check=True)
        assert files_of(tmp_path / "base") == {"fork", "main"}
    assert files_of(tmp_path / "head") == {"fork", "main", "first", "branch"}


@pytest.mark.parametrize(
    ("kind", "runs_on", "base"),
    [
        ("merged_result", "merge", "main"),
        ("merge_train", "merge", "main"),
        ("detached", "branch", "fork"),
        ("", "branch", "fork"),
    ],
)
def test_on_gitlab_both_variants_differ_by_the_merge_request_alone(
    tmp_path: Path, merged: tuple[Path, dict[str, str]], kind: str, runs_on: str, base: str
) -> None:
    place, commits = merged
    git(place, "checkout", "-q", "--detach", commits[runs_on])
    before = [line for line in PIPELINE[".performance"]["before_script"] if "worktree" in line]
    (added,) = (line for line in GITLAB_JOBS["performance merge request"]["script"] if "work/base" in line)
    environment = {
        "PATH": os.environ["PATH"],
        "CI_PROJECT_DIR": str(place),
        "CI_COMMIT_SHA": commits[runs_on],
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": commits["fork"],
        **({"CI_MERGE_REQUEST_EVENT_TYPE": kind} if kind else {}),
    }
    for _ in range(2):
        subprocess.run(
            ["bash", "-eo", "pipefail", "-c", "\n".join([*before, added])],
            cwd=place,
            env=environment,
            capture_output=True,
            check=True,
        )
        assert git(place / "work" / "gateway", "rev-parse", "HEAD") == commits[runs_on]
        assert git(place / "work" / "base", "rev-parse", "HEAD") == commits[base]
    assert tmp_path in place.parents


NIGHTLY = {
    "github": github_blocks()["nightly-conformance: Check"],
    "gitlab": "\n".join(["code=${CODE:-0}", *GITLAB_JOBS["conformance nightly"]["script"][4:]]),
}


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("system", NIGHTLY)
def test_every_night_the_cost_of_logging_is_held_where_it_was_measured(
    tmp_path: Path, system: str, measured: bool
) -> None:
    (tmp_path / "results" / "latest").mkdir(parents=True)
    if measured:
        (tmp_path / "results" / "latest" / "tune.json").write_text("{}", encoding="utf-8")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$*" >>calls\n', encoding="utf-8")
    python.chmod(0o755)
    subprocess.run(["bash", "-eo", "pipefail", "-c", NIGHTLY[system]], cwd=tmp_path, check=True)
    assert (tmp_path / "calls").read_text("utf-8").splitlines() == [
        "utils/stack.py up",
        f"utils/conformance.py --json results/conformance.json{' --tune results/latest' if measured else ''}",
        "utils/stack.py down",
    ]


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (3, 0), (1, 1), (2, 2), (124, 124)])
@pytest.mark.parametrize("system", NIGHTLY)
def test_a_measurement_of_the_night_that_failed_is_no_success(
    tmp_path: Path, system: str, code: int, expected: int
) -> None:
    if system == "github":
        text = github_blocks()["nightly-conformance: Measure"]
    else:
        text = "\n".join(GITLAB_JOBS["conformance nightly"]["script"])
    for name, ends_with in (("utils/setup.sh", 0), ("run-advanced.sh", code), (".venv/bin/python", 0)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\nexit {ends_with}\n", encoding="utf-8")
        path.chmod(0o755)
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", text],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "CI_PROJECT_DIR": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == expected, done.stderr


CALL = re.compile(
    r"(?:^|[;&|]\s*|then )(?:timeout \w+ )?(?:\.venv/bin/python )?((?:\./|utils/)[\w./-]+\.(?:sh|py))([^|;\n]*)",
    re.MULTILINE,
)
CALLS = sorted({(program, arguments.strip()) for text in BLOCKS.values() for program, arguments in CALL.findall(text)})


@cache
def help_of(program: str, command: str) -> str:
    interpreter = [sys.executable] if program.endswith(".py") else []
    done = subprocess.run(
        [*interpreter, program, *([command] if command else []), "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("program", "arguments"), CALLS)
def test_every_program_knows_what_it_is_called_with(program: str, arguments: str) -> None:
    words = arguments.split()
    command = words[0] if words and program in ("utils/baseline_manager.py", "utils/stack.py") else ""
    known = help_of(program, command)
    assert (ROOT / program).stat().st_mode & 0o111
    for flag in (word for word in words if word.startswith("--")):
        assert flag in known


def test_variables_of_the_jobs_are_those_of_the_toolkit() -> None:
    assert {name for job in WORKFLOW["jobs"].values() for name in job.get("env", {})} <= {*ENVIRONMENT, "PROFILE"}
