"""The command lines of the runners. Needs only the standard library, so that --help works before any set-up.

A kind is the first word that a script gives to ``runner::main`` (utils/lib/runner.sh); ``scenario/NAME`` is a run of
one scenario. As a program (``options.py KIND PROGRAM``), this file prints the help.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

_SETTINGS = (
    ("--profile", "NAME", "load profile: light (default), medium, heavy, or one of your own in profiles/"),
    ("--scenarios", "NAME,NAME", "scenarios of config.yaml, or all (default: those of the profile)"),
    ("--requests", "N", "requests of a case and round, instead of the configured number"),
    ("--concurrency", "N", "requests at a time, instead of the configured number"),
    ("--iterations", "N", "rounds, instead of the profile's number"),
    ("--timeout", "SECONDS", "how long a request may take, instead of the configured time"),
    ("--url", "URL", "the gateway (default: service.base_url of config.yaml)"),
    ("--results-dir", "DIR", "where the run is written (default: results)"),
    ("--blocks", "K", "paired measurements, at least 5 (paired.blocks of config.yaml: 8)"),
    ("--rounds", "N", "measurements of a case in a block, the gateways in turns (paired.rounds: 3)"),
    ("--rate", "N", "samples a second (profiling.rate: 25)"),
    ("--pairs", "N", "rounds with the sampler, and as many without it (profiling.pairs: 2)"),
)
"""The flags that set a value of config.yaml; what each sets: :data:`benchkit.settings.FLAGS`."""

_EXIT = """
exit: 0 passed; 1 regression; 2 usage, configuration, or a service that is not there; 3 measurement invalid: at least
one case's work did not happen; 130, 143 interrupted.
"""


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line; a whole usage text would bury it."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}; see {self.prog} --help", file=sys.stderr)
        sys.exit(2)


def _add_settings(parser: argparse.ArgumentParser, *flags: str) -> None:
    for flag, metavar, text in _SETTINGS:
        if flag in flags:
            parser.add_argument(flag, metavar=metavar, help=text)


_LOAD = ("--requests", "--concurrency", "--timeout", "--results-dir")


def _run(parser: argparse.ArgumentParser) -> None:
    parser.description = """
        Run scenarios under a load profile, compare the run with its baseline, and write the report. Without a gateway
        at the URL, the local stack is started, and stopped afterwards."""
    _add_settings(parser, "--scenarios")
    _add_run(parser)


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_settings(parser, "--profile", "--iterations", "--url", *_LOAD)
    parser.add_argument(
        "--baseline",
        choices=["save", "compare", "skip"],
        default="compare",
        help="make the run part of its baseline, compare it with the baseline (default), or neither",
    )
    parser.add_argument("--no-report", action="store_true", help="no HTML report")
    parser.epilog = f"""
        The same settings can come from the environment (PROFILE, SCENARIOS, GATEWAY_URL, RESULTS_DIR, PERF_REQUESTS …)
        and from config.yaml; a flag wins. {_EXIT}"""


def _scenario(parser: argparse.ArgumentParser, name: str) -> None:
    _add_run(parser)
    parser.description = f"""
        Run the scenario {name} under a load profile. Its cases are in config.yaml, scenarios.{name}. Without a gateway
        at the URL, the local stack is started, and stopped afterwards."""
    parser.set_defaults(scenarios=name)


def _paired(parser: argparse.ArgumentParser) -> None:
    parser.description = """
        Measure gateways side by side, block by block, and say what changed between them. SPEC is a release on PyPI
        (1.0.6; it gets the packages of its time), a wheel, a checkout of the gateway, or the address of one that runs
        (http://127.0.0.1:4444). Every block starts the gateways anew, each with a database of its own; all share the
        same simulated MCP servers. A gateway that runs already is used as it is and left as it is."""
    parser.add_argument("--base", metavar="SPEC", help="the gateway that the head is compared with")
    parser.add_argument("--head", metavar="SPEC", help="is this gateway slower than the base?")
    for label in ("base", "head"):
        parser.add_argument(
            f"--{label}-env",
            action="append",
            default=[],
            metavar="KEY=VALUE|KEY",
            help=f"a setting of the {label}'s gateway; may be repeated. Of a KEY alone, the environment has the value: "
            "a secret then stands in no process list",
        )
    parser.add_argument("--releases", metavar="'SPEC SPEC…'", help="between which two of these did it change?")
    parser.add_argument(
        "--tune", nargs="?", const="", metavar="SPEC", help="what is each setting of paired.tune worth?"
    )
    parser.add_argument("--env-file", metavar="FILE", help="with --tune: takes the settings, each with its effect")
    parser.add_argument("--cases", metavar="PATTERN,PATTERN", help="only these cases, like 'tools/list_*'")
    _add_settings(parser, "--blocks", "--rounds", "--profile", "--scenarios", *_LOAD)
    parser.add_argument(
        "--fail-on-inconclusive", action="store_true", help="exit 4 when something stays undecided (base and head)"
    )
    parser.add_argument("--no-report", action="store_true", help="no HTML report (of base and head)")
    parser.epilog = f"""
        It ends before the planned blocks when everything is decided; what is undecided gets up to twice as many.
        {_EXIT} 4 undecided, with --fail-on-inconclusive."""


def _cpu_profile(parser: argparse.ArgumentParser) -> None:
    parser.description = """
        Say where the gateway's time goes: sample it with py-spy while one case runs, and write a page with a flame
        graph, the shares of middleware, database, serialization …, and what was on the stack when the slowest requests
        waited. The gateway has to be the local stack's; it is started where none runs, and stopped afterwards. Half of
        the rounds run under the sampler, which slows the gateway down, so such a run is compared with no baseline."""
    parser.add_argument("--case", required=True, metavar="SCENARIO/NAME", help="the case, like tools/list_limit_50")
    parser.add_argument(
        "--python-only",
        action="store_true",
        help="without the frames of compiled code: costs less, and garbage collection is not seen",
    )
    _add_settings(parser, "--rate", "--pairs", "--profile", *_LOAD)
    parser.epilog = """
        exit: 0 written; 2 usage, configuration, a service that is not there, or a gateway that cannot be sampled;
        3 measurement invalid: the case's work did not happen; 130, 143 interrupted: what was sampled is kept and
        marked"""


def _profile_sweep(parser: argparse.ArgumentParser) -> None:
    parser.description = """
        Measure under several load profiles, one after the other, each compared with its baseline; then write one report
        over all. It says how long it will take, and asks nothing. Each profile is a run of its own; one that fails
        does not stop those after it, an interrupt (Ctrl-C) does. --resume goes on with the first profile that is not
        done; a profile that was cut short is measured again as a whole, and what was measured of it is kept."""
    parser.add_argument(
        "--profiles", metavar="NAME,NAME", help="load profiles, in this order (default: light,medium,heavy)"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="DIR",
        help="go on with one that was interrupted (default: the newest that is not complete)",
    )
    _add_settings(parser, "--scenarios", "--iterations", "--url", *_LOAD)
    parser.add_argument("--no-report", action="store_true", help="no HTML report, neither of a profile nor over all")
    parser.epilog = f"""
        It ends with the worst code of the profiles; a regression is proven whatever another profile shows, so 1 stands
        before 2. {_EXIT}"""


def _repeat(parser: argparse.ArgumentParser) -> None:
    parser.description = """
        Measure one gateway several times under one profile. baseline: every run becomes part of the profile's baseline.
        noise: the runs are compared with each other, and what they differ by is recorded for this machine
        (baselines/noise_<profile>.json). It stops at the first run that cannot be trusted."""
    parser.add_argument("purpose", choices=["baseline", "noise"])
    parser.add_argument("count", nargs="?", type=int, default=5, metavar="N", help="how many runs (5)")
    _add_settings(parser, "--profile", "--scenarios", "--iterations", "--url", *_LOAD)
    parser.epilog = "exit: 0 done; otherwise that of the run that failed; 130, 143 interrupted"


_KINDS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "run": _run,
    "paired": _paired,
    "cpu-profile": _cpu_profile,
    "profile-sweep": _profile_sweep,
    "repeat": _repeat,
}


def parser_for(kind: str, program: str) -> argparse.ArgumentParser:
    """The parser of a kind of run.

    Args:
        kind: one of ``run``, ``scenario/NAME``, ``paired``, ``cpu-profile``, ``profile-sweep``, ``repeat``.
        program: the runner, as it was called.
    """
    parser = _Parser(prog=Path(program).name, allow_abbrev=False)
    word, _, scenario = kind.partition("/")
    if scenario:
        _scenario(parser, scenario)
    else:
        _KINDS[word](parser)
    return parser


def check(kind: str, parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse what no single option shows: options that do not go together. Ends the program as argparse does."""
    for name, value in vars(options).items():
        if value == "" and name not in ("tune", "resume"):
            parser.error(f"--{name.replace('_', '-')}: needs a value")
    if kind == "paired":
        _check_paired(parser, options)
    if kind == "repeat" and options.count < (3 if options.purpose == "noise" else 1):
        parser.error(f"RUNS={options.count}: must be a number of runs, like 5; noise needs at least 3")


def _check_paired(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    pair = options.base is not None or options.head is not None
    questions = [pair, options.releases is not None, options.tune is not None]
    if not any(questions):
        parser.error("give --base and --head, --releases or --tune")
    if sum(questions) > 1:
        parser.error("--base and --head, --releases, and --tune are three questions: ask one at a time")
    if pair and options.base is None:
        parser.error("--base is missing: the gateway that the head is compared with")
    if pair and options.head is None:
        parser.error("--head is missing: the gateway that is compared with the base")
    if not pair and (options.base_env or options.head_env):
        parser.error("--base-env and --head-env belong to --base and --head")
    if not pair and options.fail_on_inconclusive:
        parser.error("--fail-on-inconclusive belongs to --base and --head")
    if options.tune is None and options.env_file is not None:
        parser.error("--env-file belongs to --tune")
    if options.releases is not None and len(options.releases.replace(",", " ").split()) < 2:
        parser.error('--releases: give at least two, like "1.0.5 1.0.6 1.0.7"')


if __name__ == "__main__":
    parser_for(*sys.argv[1:3]).print_help()
