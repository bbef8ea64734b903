#!/usr/bin/env -S python3 -Es
"""Start and stop gateways that are measured side by side, as a file that utils/measure.py wrote names them.

  servers FILE      start the MCP servers that all of them share
  restart FILE      stop the gateways and start them again, all at once, each with a fresh database
  down FILE         stop everything

Gateways that ran before are left as they are. run-advanced.sh calls this; nobody else needs to.

exit: 0 done; 2 a program is not there or does not run; 130, 143 interrupted
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from benchkit import store
from benchkit.connection import register_servers
from benchkit.errors import ExitCode, UserError, run_program
from benchkit.identity import ProcessIdentity
from benchkit.plain import printable
from benchkit.settings import Settings, add_arguments, from_arguments
from benchkit.sides import Side, Sides, servers_settings, side_settings
from benchkit.stack.interrupt import Interrupt
from benchkit.stack.local import down, up
from benchkit.stack.start import Caller
from benchkit.stack.state import Place, ServerAccess, StackState, default_place, read_state, side_places

QUIET = ("ready after", "waiting,", "another start or stop")
"""What a start says of its progress: of interest once, not for every block. While one gateway is started, the lock of
another is for a moment held by a child that is about to become its supervisor; that is nothing to be told of."""


def main() -> ExitCode:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["servers", "restart", "down"])
    parser.add_argument("file", type=Path, metavar="FILE", help="sides.json")
    parser.add_argument("--owner", type=int, default=os.getppid(), metavar="PID", help="the run that stops it again")
    parser.add_argument("--again", action="store_true", help="not the first start: what there is to say was said")
    add_arguments(parser)
    options = parser.parse_args()
    sides = store.load(options.file, Sides, "sides")
    interrupt = Interrupt()
    interrupt.watch()
    caller = Caller(say=_say, interrupt=interrupt, owner=ProcessIdentity.of(options.owner))
    match options.command:
        case "servers" if sides.own:
            _start_servers(sides, from_arguments(options), caller)
        case "restart" if sides.own:
            _restart(sides, from_arguments(options), caller, again=options.again)
        case "down":
            _down(sides, caller)
        case _:  # all gateways run already
            pass
    return ExitCode.OK


def _start_servers(sides: Sides, settings: Settings, caller: Caller) -> None:
    # What a killed comparison left would be measured along; another one can't be under way, for there is the lock.
    for left in side_places(default_place()):
        down(left, caller)
    up(servers_settings(settings, sides), _place(sides.servers_place), caller, part="servers")


def _restart(sides: Sides, settings: Settings, caller: Caller, *, again: bool) -> None:
    servers = read_state(_place(sides.servers_place))
    if servers is None:
        raise UserError(
            f"{sides.servers_place}: the shared MCP servers do not run any more; start the comparison again"
        )
    with ThreadPoolExecutor(max_workers=max(1, len(sides.own))) as pool:
        starts = [
            pool.submit(_restart_side, side, settings, _side_caller(caller, side, again=again), servers.servers)
            for side in sides.own
        ]
    for start in starts:
        start.result()


def _restart_side(side: Side, settings: Settings, caller: Caller, servers: list[ServerAccess]) -> None:
    place = _place(side.place)
    down(place, caller)
    up(side_settings(settings, side), place, caller, part="gateway", shared_servers=servers)


def _down(sides: Sides, caller: Caller) -> None:
    """All of them, whatever goes wrong with one."""
    problems = []
    for directory in [*(side.place for side in sides.own), *([sides.servers_place] if sides.own else [])]:
        try:
            down(_place(directory), caller)
        except UserError as error:
            problems.append(error)
    if problems:
        raise problems[0]


def _place(directory: str) -> Place:
    return Place(Path(directory))


def _say(line: str) -> None:
    if not any(word in line for word in QUIET):
        print(f"stack: {printable(line)}", file=sys.stderr, flush=True)


def _side_caller(caller: Caller, side: Side, *, again: bool) -> Caller:
    """The same for one gateway, which gets the servers once it is ready."""

    def say(line: str) -> None:
        _say(f"{side.label}: {line}")

    def complete(state: StackState) -> None:
        for line in register_servers(state, _place(side.place)):
            if not again and "registered, 0 were there" not in line:
                say(line)

    return replace(caller, say=say, complete=complete)


if __name__ == "__main__":
    run_program(main)
