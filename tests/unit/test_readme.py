"""Every command of the README exists as it is written there."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest

from benchkit.settings import ENVIRONMENT, FLAGS, ROOT

README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.strip()]
INLINE = re.findall(r"`((?:make|utils/|scenarios/|\./run)[^`]*)`", README)
KNOWN_FLAGS = {"--profile", "--baseline", "--no-report", "--force", "--help", *FLAGS}
KNOWN_FLAGS |= {
    "--base",
    "--head",
    "--head-env",
    "--cases",
    "--rounds",
    "--fail-on-inconclusive",
    "--profiles",
    "--resume",
    "--case",
    "--python-only",
}
TARGET_SETTINGS = {"BASE", "HEAD", "RELEASES", "RUNS", "TO", "FILE", "CASE", "RATE", "REQUESTS"}


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 15
    assert COMMANDS[0] == "make test"


@pytest.mark.parametrize("command", sorted({*COMMANDS, *INLINE}))
def test_a_command_is_there(command: str) -> None:
    command = re.sub(r'^eval "\$\((.*)\)"$', r"\1", command)
    words = shlex.split(command)
    while re.match(r"[A-Z_]+=", words[0]):
        assert words.pop(0).partition("=")[0] in ENVIRONMENT
    if words[0] == "make":
        assert subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, check=False).returncode == 0
        settings = [word.partition("=")[0] for word in words[1:] if "=" in word]
        assert set(settings) <= {*ENVIRONMENT, "PROFILE", "RUN", "BASELINE", "NAME", *TARGET_SETTINGS}
    else:
        assert (ROOT / words[0]).is_file()
        assert {word for word in words if word.startswith("--")} <= KNOWN_FLAGS


def test_every_public_target_is_documented_by_help() -> None:
    text = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", text, flags=re.MULTILINE)) - {"check-setup"}
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [target for target in sorted(targets) if f"  {target} " not in shown] == []


def test_no_target_has_a_long_recipe() -> None:
    recipes = re.split(r"\n(?!\t)", (ROOT / "Makefile").read_text("utf-8"))
    assert [recipe for recipe in recipes if recipe.count("\n\t") > 4] == []
