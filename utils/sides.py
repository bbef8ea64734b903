#!/usr/bin/env python3
"""Start and stop gateways that are measured side by side, as a file that utils/measure.py wrote names them.

  servers FILE      start the MCP servers that all of them share
  restart FILE      stop the gateways and start them again, all at once, each with a fresh database
  down FILE         stop everything

Gateways that ran before are left as they are. run-advanced.sh calls this; nobody else needs to.

exit: 0 done; 2 a program is not there or does not run; 130, 143 interrupted
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchkit import store
from benchkit.connection import register_servers
from benchkit.errors import ExitCode, UserError, run_program
from benchkit.settings import Settings, add_arguments, from_arguments
from benchkit.sides import Side, Sides, servers_settings, side_settings
from benchkit.stack.interrupt import Interrupt
from benchkit.stack.local import down, up
from benchkit.stack.start import Caller
from benchkit.stack.state import Place, ServerAccess, StackState, read_state

QUIET = ("ready after", "waiting,")
"""What a start says of its progress: of interest once, not for every block."""


def main() -> ExitCode:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["servers", "restart", "down"])
    parser.add_argument("file", type=Path, metavar="FILE", help="sides.json")
    add_arguments(parser)
    options = parser.parse_args()
    sides = store.load(options.file, Sides, "sides")
    interrupt = Interrupt()
    interrupt.watch()
    match options.command:
        case "servers" if sides.own:
            up(
                servers_settings(from_arguments(options), sides),
                _place(sides.servers_place),
                _caller("", interrupt),
                part="servers",
            )
        case "restart" if sides.own:
            _restart(sides, from_arguments(options), interrupt)
        case "down":
            _down(sides, interrupt)
        case _:  # all gateways run already
            pass
    return ExitCode.OK


def _restart(sides: Sides, settings: Settings, interrupt: Interrupt) -> None:
    servers = read_state(_place(sides.servers_place))
    if servers is None:
        raise UserError(
            f"{sides.servers_place}: the shared MCP servers do not run any more; start the comparison again"
        )
    with ThreadPoolExecutor(max_workers=max(1, len(sides.own))) as pool:
        starts = [pool.submit(_restart_side, side, settings, interrupt, servers.servers) for side in sides.own]
    for start in starts:
        start.result()


def _restart_side(side: Side, settings: Settings, interrupt: Interrupt, servers: list[ServerAccess]) -> None:
    place, caller = _place(side.place), _caller(side.label, interrupt)
    down(place, caller)
    up(side_settings(settings, side), place, caller, part="gateway", shared_servers=servers)


def _down(sides: Sides, interrupt: Interrupt) -> None:
    """All of them, whatever goes wrong with one."""
    problems = []
    for directory in [*(side.place for side in sides.own), *([sides.servers_place] if sides.own else [])]:
        try:
            down(_place(directory), _caller("", interrupt))
        except UserError as error:
            problems.append(error)
    if problems:
        raise problems[0]


def _place(directory: str) -> Place:
    return Place(Path(directory))


def _caller(label: str, interrupt: Interrupt) -> Caller:
    place_name = f"{label}: " if label else ""

    def say(line: str) -> None:
        if not any(word in line for word in QUIET):
            print(f"stack: {place_name}{line}", file=sys.stderr, flush=True)

    def complete(state: StackState) -> None:
        for line in register_servers(state, _place_of(state)):
            if "registered, 0 were there" not in line:
                say(line)

    return Caller(say=say, interrupt=interrupt, complete=complete)


def _place_of(state: StackState) -> Place:
    assert state.gateway is not None, "servers are registered with a gateway"
    return Place(Path(state.gateway.env_file).parent)


if __name__ == "__main__":
    run_program(main)
