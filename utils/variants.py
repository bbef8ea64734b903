#!/usr/bin/env -S python3 -Es
"""Start and stop gateways that are measured side by side, as listed in a file that utils/measure.py wrote.

  servers FILE      start the MCP servers that all of them share
  restart FILE      stop the gateways and start them again, all at once, each with a fresh database
  down FILE         stop everything

Gateways that ran before are left alone. run-advanced.sh calls this program; users need not.

exit: 0 done; 2 a program is missing or does not run; 130, 143 interrupted
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from benchkit import store
from benchkit.errors import ExitCode, UserError, run_program
from benchkit.identity import ProcessIdentity
from benchkit.plain import printable
from benchkit.run.target import register_servers
from benchkit.run.variants import Variant, Variants, servers_settings, variant_settings
from benchkit.settings import Settings, add_arguments, from_arguments
from benchkit.stack.deployment import StartCallbacks
from benchkit.stack.interrupt import Interrupt
from benchkit.stack.lifecycle import down, up
from benchkit.stack.state import ServerAccess, StackPaths, StackState, default_paths, read_state, variant_places


def main() -> ExitCode:
    """Run the command on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["servers", "restart", "down"])
    parser.add_argument("file", type=Path, metavar="FILE", help="variants.json")
    parser.add_argument("--owner", type=int, default=os.getppid(), metavar="PID", help="the run that stops it again")
    parser.add_argument("--again", action="store_true", help="not the first start: what there is to say was said")
    add_arguments(parser)
    options = parser.parse_args()
    variants = store.load(options.file, Variants, "variants")
    # Progress lines are left out: gateways are restarted for every block.
    caller = StartCallbacks(say=_say, interrupt=Interrupt().watch(), owner=ProcessIdentity.of(options.owner))
    match options.command:
        case "servers" if variants.own:
            _start_servers(variants, from_arguments(options), caller)
        case "restart" if variants.own:
            _restart(variants, from_arguments(options), caller, again=options.again)
        case "down":
            _down(variants, caller)
        case _:  # all gateways run already
            pass
    return ExitCode.OK


def _start_servers(variants: Variants, settings: Settings, caller: StartCallbacks) -> None:
    # Leftover stacks of a killed comparison would add load. The lock rules out that another comparison is running.
    for left in variant_places(default_paths()):
        down(left, caller)
    up(servers_settings(settings, variants), _place(variants.servers_place), caller, part="servers")


def _restart(variants: Variants, settings: Settings, caller: StartCallbacks, *, again: bool) -> None:
    servers = read_state(_place(variants.servers_place))
    if servers is None:
        raise UserError(
            f"{variants.servers_place}: the shared MCP servers do not run any more; start the comparison again"
        )
    with ThreadPoolExecutor(max_workers=max(1, len(variants.own))) as pool:
        starts = [
            pool.submit(
                _restart_variant, variant, settings, _variant_caller(caller, variant, again=again), servers.servers
            )
            for variant in variants.own
        ]
    for start in starts:
        start.result()


def _restart_variant(variant: Variant, settings: Settings, caller: StartCallbacks, servers: list[ServerAccess]) -> None:
    place = _place(variant.place)
    down(place, caller)
    up(variant_settings(settings, variant), place, caller, part="gateway", shared_servers=servers)


def _down(variants: Variants, caller: StartCallbacks) -> None:
    """Stop all of them, even if stopping one fails."""
    problems = []
    for directory in [
        *(variant.place for variant in variants.own),
        *([variants.servers_place] if variants.own else []),
    ]:
        try:
            down(_place(directory), caller)
        except UserError as error:
            problems.append(error)
    if problems:
        raise problems[0]


def _place(directory: str) -> StackPaths:
    return StackPaths(Path(directory))


def _say(line: str) -> None:
    print(f"stack: {printable(line)}", file=sys.stderr, flush=True)


def _variant_caller(caller: StartCallbacks, variant: Variant, *, again: bool) -> StartCallbacks:
    """Return the callbacks for one gateway, which registers the servers once it is ready."""

    def say(line: str) -> None:
        _say(f"{variant.label}: {line}")

    def complete(state: StackState) -> None:
        register_servers(state, _place(variant.place), say=(lambda _line: None) if again else say)

    return replace(caller, say=say, complete=complete)


if __name__ == "__main__":
    run_program(main)
