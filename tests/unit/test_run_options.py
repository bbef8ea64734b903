"""The command lines of the runners: what is refused, and what is noted of what was typed."""

from __future__ import annotations

import argparse

import pytest

from benchkit.run import options
from benchkit.run.command import typed_command
from benchkit.settings import FLAGS


def parsed(kind: str, *words: str) -> argparse.Namespace:
    parser = options.parser_for(kind, "./run-x.sh")
    found = parser.parse_args(words)
    options.check(kind, parser, found)
    return found


PAIR = ("--base", "1.0.6", "--head", "1.0.7")


@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        ("run", "--speed 9", "unrecognized arguments: --speed 9"),
        ("run", "--baseline perhaps", "invalid choice: 'perhaps'"),
        ("run", "--requests", "argument --requests: expected one argument"),
        ("run", "--requests=", "--requests: needs a value"),
        ("run", "--prof light", "unrecognized arguments: --prof light"),
        ("scenario/tools", "--scenarios prompts", "unrecognized arguments: --scenarios prompts"),
        ("cpu-profile", "", "the following arguments are required: --case"),
        ("cpu-profile", "--case a/b --baseline save", "unrecognized arguments: --baseline save"),
        ("paired", "", "give --base and --head, --releases or --tune"),
        ("paired", "--head 1.0.7", "--base is missing"),
        ("paired", "--base 1.0.7", "--head is missing"),
        ("paired", "--releases 1.0.7", "--releases: give at least two"),
        ("paired", "--tune --base 1.0.6", "ask one at a time"),
        ("paired", "--releases 1.0.6,1.0.7 --head 1.0.6", "ask one at a time"),
        ("paired", "--tune --base-env A=1", "belong to --base and --head"),
        ("paired", "--releases 1,2 --fail-on-inconclusive", "--fail-on-inconclusive belongs to --base and --head"),
        ("paired", "--base 1.0.6 --head 1.0.7 --env-file x", "--env-file belongs to --tune"),
        ("profile-sweep", "--profile light", "unrecognized arguments: --profile light"),
        ("repeat", "", "the following arguments are required: purpose"),
        ("repeat", "baseline 0", "RUNS=0: must be a number of runs"),
        ("repeat", "noise 2", "noise needs at least 3"),
        ("repeat", "baseline many", "invalid int value: 'many'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], kind: str, words: str, message: str
) -> None:
    with pytest.raises(SystemExit) as end:
        parsed(kind, *words.split())
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith("error: ")
    assert message in said
    assert said.endswith("; see run-x.sh --help\n")
    assert said.count("\n") == 1


def test_what_a_scenario_script_fixes() -> None:
    assert parsed("scenario/tools", "--requests", "9").scenarios == "tools"


def test_tune_and_resume_need_no_value() -> None:
    assert parsed("paired", "--tune").tune == ""
    assert parsed("paired", "--tune", "1.0.6").tune == "1.0.6"
    assert parsed("profile-sweep", "--resume").resume == ""
    assert parsed("profile-sweep").resume is None


def test_every_flag_that_sets_a_value_is_a_setting() -> None:
    assert {flag for flag, _, _ in options._SETTINGS} == {"--profile", *FLAGS}


def test_what_was_typed_is_noted_without_the_values_of_settings() -> None:
    words = [*PAIR, "--head-env", "JWT_SECRET_KEY=hidden1", "--head-env=A=hidden2", "--base-env", "OF_ENVIRONMENT"]
    words += ["--base-env", "x hidden3", "--cases", "tools/*"]
    command = typed_command("/somewhere/run-advanced.sh", words)
    assert command == (
        "run-advanced.sh --base 1.0.6 --head 1.0.7 --head-env 'JWT_SECRET_KEY=(not shown)' '--head-env=A=(not shown)' "
        "--base-env OF_ENVIRONMENT --base-env '(not shown)' --cases 'tools/*'"
    )
