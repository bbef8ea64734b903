#!/usr/bin/env -S python3 -Es
"""Start, show and stop the local stack: gateway, databases, cache and simulated MCP servers.

  up                start the stack and wait until it is ready; does nothing if it is up already
  down              stop it, and whatever an earlier one left
  status            one line per program
  logs [NAME]       the last lines of all logs, or of one; -f follows them
  ensure            a gateway for a run: the one at service.base_url, or the stack (service.mode, GATEWAY)

The stack is configured in config.yaml (stack, service.base_url) and by the environment (GATEWAY_URL, GATEWAY_VERSION,
PERF_DB_BACKEND, PERF_SERVERS_COUNT, PERF_FIRST_SERVER_PORT). It listens only on 127.0.0.1. All its files are in .stack/
(PERF_STACK_DIR), except its sockets, which are in a directory below /tmp.

exit: 0 done; 2 usage, configuration, or a program that is missing or does not run; 130, 143 interrupted
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from benchkit.errors import ExitCode, run_program
from benchkit.identity import ProcessIdentity
from benchkit.plain import printable
from benchkit.run.target import register_servers
from benchkit.settings import Settings, add_arguments, from_arguments, load_settings
from benchkit.stack.deployment import ProgramStatus, StartCallbacks
from benchkit.stack.interrupt import Interrupt
from benchkit.stack.lifecycle import deployment, down, ensure, read_owner, up, write_owner
from benchkit.stack.processes import memory_bytes
from benchkit.stack.state import StackState, default_paths, load_state, variant_places

_LOG_LINES = 20
_MIB = 1024 * 1024


def main() -> ExitCode:
    """Run the command on the command line."""
    options = _parser().parse_args()
    match options.command:
        case "up":
            return _up()
        case "down":
            return _down(options.owner_file)
        case "status":
            return _status()
        case "logs":
            return _logs(options.name, options.follow)
        case _:
            return _ensure(options.owner_file, options.owner, from_arguments(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="up|down|status|logs|ensure")
    commands.add_parser("up", help="start the stack")
    stop = commands.add_parser("down", help="stop the stack")
    stop.add_argument(
        "--owner-file", type=Path, metavar="FILE", help="stop it only when it is the one that ensure noted in FILE"
    )
    commands.add_parser("status", help="show the programs")
    logs = commands.add_parser("logs", help="show the logs")
    logs.add_argument("name", nargs="?", metavar="NAME", help="a program, as status names it")
    logs.add_argument("-f", "--follow", action="store_true", help="follow the logs until interrupted")
    provide = commands.add_parser("ensure", help="a gateway for a run; prints {started, url}")
    provide.add_argument(
        "--owner-file",
        type=Path,
        required=True,
        metavar="FILE",
        help="written as soon as a stack is started, for down --owner-file; not written when none is",
    )
    provide.add_argument("--owner", type=int, default=os.getppid(), metavar="PID", help="the run that stops it again")
    add_arguments(provide)
    return parser


def _say(line: str) -> None:
    print(f"stack: {printable(line)}", file=sys.stderr, flush=True)


def _caller() -> StartCallbacks:
    return StartCallbacks(say=_say, progress=_say, interrupt=Interrupt().watch(), complete=_register)


def _register(state: StackState) -> None:
    """Register the simulated servers with the gateway, except those that are registered already."""
    register_servers(state, default_paths(), say=_say, progress=_say)


def _up() -> ExitCode:
    outcome = up(load_settings(), default_paths(), _caller())
    gateway = outcome.state.target
    assert gateway is not None, "a whole stack has a gateway"
    _say(f"{'up' if outcome.started else 'already up'}: gateway {gateway.version} at {gateway.url}, {gateway.email}")
    return ExitCode.OK


def _down(owner_file: Path | None) -> ExitCode:
    caller = _caller()
    if owner_file is None:
        # Also stop the leftovers of a killed comparison, which nothing else would find.
        places = [default_paths(), *variant_places(default_paths())]
        stopped = sum(down(place, caller) for place in places) > 0
    else:
        owner = read_owner(owner_file)
        stopped = owner is not None and down(default_paths(), caller, only=owner)
        owner_file.unlink(missing_ok=True)
    _say("stopped" if stopped else "nothing to stop")
    return ExitCode.OK


def _ensure(owner_file: Path, owner: int, settings: Settings) -> ExitCode:
    caller = _caller()
    caller = replace(caller, began=lambda state: write_owner(owner_file, state), owner=ProcessIdentity.of(owner))
    try:
        outcome = ensure(settings, default_paths(), caller)
    except BaseException:
        owner_file.unlink(missing_ok=True)
        raise
    target = outcome.state.target if outcome is not None else None
    url = target.url if target is not None else settings.config.service.base_url
    print(json.dumps({"started": outcome is not None and outcome.started, "url": url}))
    return ExitCode.OK


def _status() -> ExitCode:
    state = load_state(default_paths())
    if state is None:
        _say("nothing runs (make up starts it)")
        return ExitCode.USAGE
    if not state.runtime.is_alive:
        _say("the supervisor has ended, so this stack does not run any more: make down removes what is left of it")
        return ExitCode.USAGE
    statuses = deployment(default_paths()).statuses(state)
    width = max(len(status.name) for status in statuses)
    for status in statuses:
        print(_row(status, width))
    if not state.ready:
        _say("it is starting, or its start was interrupted (make down)")
    return ExitCode.OK if state.ready and all(status.runs for status in statuses) else ExitCode.USAGE


def _row(status: ProgramStatus, width: int) -> str:
    line = f"{status.name:<{width}}  {status.state:<8}"
    if not status.runs:
        return line + (f"  exit status {status.exit_status}" if status.has_ended else "")
    hours, seconds = divmod(status.uptime_s, 3600)
    uptime = f"{hours}:{seconds // 60:02d}:{seconds % 60:02d}"
    port = f"port {status.port:<5}" if status.port else " " * 10
    memory = memory_bytes(status.pid)
    shown = f"{memory / _MIB:6.0f} MiB" if memory is not None else ""
    return f"{line}  pid {status.pid:<7}  up {uptime:>8}  {port}  {shown}".rstrip()


def _logs(name: str | None, follow: bool) -> ExitCode:
    command = deployment(default_paths()).log_command(name, lines=_LOG_LINES, follow=follow)
    os.execvp(command[0], command)  # noqa: S606 - needs no shell


if __name__ == "__main__":
    run_program(main)
