#!/usr/bin/env -S python3 -Es
"""Start, show and stop the local stack: gateway, databases, cache and simulated MCP servers.

  up                start the stack and wait until it is ready; nothing happens when it is up already
  down              stop it, and whatever an earlier one left
  status            one line for each program
  logs [NAME]       the last lines of all logs, or of one; -f goes on with what comes
  ensure            a gateway for a run: the one at service.base_url, or the stack (service.mode, GATEWAY)

What the stack is made of stands in config.yaml (stack, service.base_url) and can be set by the environment
(GATEWAY_URL, GATEWAY_VERSION, PERF_DB_BACKEND, PERF_SERVERS_COUNT, PERF_FIRST_SERVER_PORT). It listens on 127.0.0.1
only. Everything it writes lies in .stack/ (PERF_STACK_DIR), but its sockets, which lie in a directory below /tmp.

exit: 0 done; 2 usage, configuration, or a program that is not there or does not run; 130, 143 interrupted
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from benchkit import store
from benchkit.errors import ExitCode, UserError, run_program
from benchkit.identity import ProcessIdentity
from benchkit.plain import printable
from benchkit.run.target import register_servers
from benchkit.settings import Settings, add_arguments, from_arguments, load_settings
from benchkit.stack.ensure import Ensured, ensure, read_owner, write_owner
from benchkit.stack.interrupt import Interrupt
from benchkit.stack.local import ProgramReport, down, report, up
from benchkit.stack.start import StartCallbacks
from benchkit.stack.state import StackState, default_paths, is_running, load_state, variant_places

_LOG_LINES = "20"
_MIB = 1024 * 1024


def main() -> ExitCode:
    """Do what the command line says."""
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
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what comes, until interrupted")
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
    interrupt = Interrupt()
    interrupt.watch()
    return StartCallbacks(say=_say, interrupt=interrupt, complete=_register)


def _register(state: StackState) -> None:
    """Put the simulated servers into the gateway; those that are in it are left."""
    done = register_servers(state, default_paths())
    for line in (*done.warnings, done.summary):
        _say(line)


def _up() -> ExitCode:
    outcome = up(load_settings(), default_paths(), _caller())
    gateway = outcome.state.gateway
    assert gateway is not None, "a whole stack has a gateway"
    _say(f"{'up' if outcome.started else 'already up'}: gateway {gateway.version} at {gateway.url}, {gateway.email}")
    return ExitCode.OK


def _down(owner_file: Path | None) -> ExitCode:
    caller = _caller()
    if owner_file is None:
        # Also what a comparison left that was killed: nothing else would find it.
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
    if outcome is None:
        result = Ensured(started=False, url=settings.config.service.base_url)
    else:
        assert outcome.state.gateway is not None, "a whole stack has a gateway"
        result = Ensured(started=outcome.started, url=outcome.state.gateway.url)
    sys.stdout.write(store.dump(result))
    return ExitCode.OK


def _status() -> ExitCode:
    state = load_state(default_paths())
    if state is None:
        _say("nothing runs (make up starts it)")
        return ExitCode.USAGE
    if not is_running(state):
        _say("the supervisor is gone, so this stack is no more: make down removes what is left of it")
        return ExitCode.USAGE
    reports = report(state)
    for line in _table(reports):
        print(line)
    if not state.ready:
        _say("it is being started, or its start was cut off (make down)")
    return ExitCode.OK if state.ready and all(each.status.runs for each in reports) else ExitCode.USAGE


def _table(reports: list[ProgramReport]) -> list[str]:
    width = max(len(each.status.name) for each in reports)
    return [_row(each, width) for each in reports]


def _row(program: ProgramReport, width: int) -> str:
    status = program.status
    line = f"{status.name:<{width}}  {status.state:<8}"
    if not status.runs:
        return line + (f"  exit status {status.exit_status}" if status.has_ended else "")
    hours, seconds = divmod(status.uptime_s, 3600)
    uptime = f"{hours}:{seconds // 60:02d}:{seconds % 60:02d}"
    port = f"port {program.port:<5}" if program.port else " " * 10
    memory = f"{program.memory / _MIB:6.0f} MiB" if program.memory is not None else ""
    return f"{line}  pid {status.pid:<7}  up {uptime:>8}  {port}  {memory}".rstrip()


def _logs(name: str | None, follow: bool) -> ExitCode:
    place = default_paths()
    names = sorted(path.stem for path in place.logs.glob("*.log"))
    if not names:
        raise UserError("there are no logs: the stack was never up (make up)")
    if name is not None and name not in names:
        raise UserError(f"there is no log of {name!r}; there are: {', '.join(names)}")
    files = [str(place.logs / f"{each}.log") for each in ([name] if name else names)]
    # tail knows rotated files, terminals and broken pipes.
    os.execvp("tail", ["tail", "-n", _LOG_LINES, *(["-F"] if follow else []), *files])  # noqa: S606 - needs no shell


if __name__ == "__main__":
    run_program(main)
