#!/usr/bin/env -S python3 -Es
"""Talk to the gateway at GATEWAY_URL (service.base_url of config.yaml): token, checks, registration.

  gateway.py login [--renew]            keep a token that the gateway accepts; print its expiry to stderr
  gateway.py token [--renew]            the same, and print the token
  gateway.py env                        print shell commands that set GATEWAY_URL and GATEWAY_TOKEN
  gateway.py check                      say whether a run could be trusted, one line per requirement
  gateway.py info                       print the gateway's description of itself (JSON)
  gateway.py register --servers NAME=URL ... | --from-stack
  gateway.py unregister --names NAME ...     | --from-stack
  gateway.py fixtures create|remove     the virtual server and the prompts that some cases need

If the toolkit's own stack runs at that address, its password is used and its token is stored with it; else
GATEWAY_EMAIL, GATEWAY_PASSWORD and PERF_TOKEN_CACHE (auth of config.yaml). GATEWAY_TOKEN is used unchanged.

Exit codes: 0 done (check: a run could be trusted); 2 usage, a gateway that is unreachable or refuses, a failed check.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from benchkit import store
from benchkit.disclosure import address_problem
from benchkit.errors import ExitCode, UserError, run_program
from benchkit.gateway import checks
from benchkit.gateway.access import access_for, enter, is_own
from benchkit.gateway.catalogue import load_catalogue, upstreams
from benchkit.gateway.checks import Check, KnownServer, State
from benchkit.gateway.client import Gateway, NobodyThereError
from benchkit.gateway.login import Session
from benchkit.gateway.registration import create_fixtures, register, remove_fixtures, unregister
from benchkit.gateway.target import describe_target, read_version
from benchkit.plain import printable
from benchkit.run.target import own_stack
from benchkit.settings import Settings, load_settings
from benchkit.stack.state import StackState, read_state

_THINGS = ("gateway", "token", "database", "cache", "MCP servers", "rate limiting", "catalogue")


def main(arguments: list[str] | None = None) -> ExitCode:
    """Run one command; the module's docstring lists them."""
    options = _parser().parse_args(arguments)
    flags = {flag: value for flag, value in (("--url", options.url), ("--scenarios", options.scenarios)) if value}
    settings = load_settings(flags=flags, profile=options.profile)
    run: Callable[[argparse.Namespace, Settings, StackState | None], ExitCode] = options.run
    return run(options, settings, read_state())


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", metavar="URL", help="the gateway's address, instead of GATEWAY_URL")
    common.set_defaults(scenarios=None, profile=None)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[..., ExitCode], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, parents=[common], help=text, description=text)
        command.set_defaults(run=run)
        return command

    for name, run, text in (
        ("login", _login, "keep a token that the gateway accepts"),
        ("token", _token, "the same, and print the token"),
    ):
        add(name, run, text).add_argument(
            "--renew", action="store_true", help="get a new one even if the kept one is valid"
        )
    add("env", _env, "print shell commands that set GATEWAY_URL and GATEWAY_TOKEN")
    check = add("check", _check, "say whether a run could be trusted")
    check.add_argument("--profile", metavar="NAME", help="load profile of the run (default: light)")
    check.add_argument("--scenarios", metavar="NAMES", help="scenarios of the run (default: all)")
    add("info", _info, "print the gateway's description of itself (JSON)")
    servers = add("register", _register, "register MCP servers").add_mutually_exclusive_group(required=True)
    servers.add_argument("--servers", nargs="+", type=_server, metavar="NAME=URL", help="streamable HTTP endpoints")
    servers.add_argument("--from-stack", action="store_true", help="the simulated servers of the running stack")
    names = add("unregister", _unregister, "unregister MCP servers").add_mutually_exclusive_group(required=True)
    names.add_argument("--names", nargs="+", metavar="NAME", help="names that they were registered with")
    names.add_argument("--from-stack", action="store_true", help="the simulated servers of the running stack")
    fixtures = add("fixtures", _fixtures, "create or remove the virtual server and the prompts that some cases need")
    fixtures.add_argument("action", choices=["create", "remove"])
    return parser


def _login(options: argparse.Namespace, settings: Settings, stack: StackState | None) -> ExitCode:
    _logged_in(options, settings, stack)
    return ExitCode.OK


def _token(options: argparse.Namespace, settings: Settings, stack: StackState | None) -> ExitCode:
    token = _logged_in(options, settings, stack)
    if token:
        print(token)
    return ExitCode.OK


def _logged_in(options: argparse.Namespace, settings: Settings, stack: StackState | None) -> str:
    own = own_stack(stack)
    gateway, session = enter(settings, own)
    if not session.needed:
        print(f"{gateway.base_url} answers without a token", file=sys.stderr)
        return ""
    access = access_for(settings, own)
    token = session.renew() if options.renew else session.renewed_for(0)
    until = f"{datetime.fromtimestamp(session.expires):%Y-%m-%d %H:%M:%S}" if session.expires else "it is revoked"
    whose = "GATEWAY_TOKEN" if access.given else f"token of {access.credentials.email}"
    where = "not kept" if access.given else f"kept in {access.cache}"
    print(f"{whose} for {gateway.base_url}: valid until {until}, {where}", file=sys.stderr)
    return token


def _env(_options: argparse.Namespace, settings: Settings, stack: StackState | None) -> ExitCode:
    gateway, session = enter(settings, own_stack(stack))
    print(f"export GATEWAY_URL={shlex.quote(gateway.base_url)}")
    token = session.renewed_for(0)
    print(f"export GATEWAY_TOKEN={shlex.quote(token)}" if token else "unset GATEWAY_TOKEN")
    return ExitCode.OK


def _check(_options: argparse.Namespace, settings: Settings, stack: StackState | None) -> ExitCode:
    done = []
    for check in _checks(settings, stack):
        print(_line(check), flush=True)
        done.append(check)
    for name in _THINGS[len(done) :]:
        print(_line(Check(State.MISSING, name, f"not checked: see {done[-1].name}")))
    return ExitCode.OK if len(done) == len(_THINGS) and all(one.state == State.OK for one in done) else ExitCode.USAGE


def _checks(settings: Settings, stack: StackState | None) -> Iterator[Check]:
    """Yield the lines in the order of :data:`_THINGS`; stop early if the remaining checks are impossible."""
    own = own_stack(stack)
    try:
        gateway = Gateway.find(settings.config.service.base_url)
    except UserError as error:
        yield Check(State.MISSING if isinstance(error, NobodyThereError) else State.WRONG, "gateway", str(error))
        return
    session = Session(gateway, access_for(settings, own))
    try:
        session.start()
    except UserError as error:
        yield checks.check_gateway(gateway, read_version(gateway))
        yield Check(State.WRONG, "token", str(error))
        return
    version = read_version(gateway)
    scenarios = [settings.config.scenarios[name] for name in settings.scenarios]
    servers = stack.servers if stack is not None and is_own(settings, own) else []
    known = [KnownServer(server.name, server.url, server.counters_url) for server in servers]
    yield checks.check_gateway(gateway, version)
    yield checks.check_token(session)
    yield checks.check_database(version)
    yield checks.check_cache(version)
    yield checks.attempt("MCP servers", lambda: checks.check_servers(upstreams(gateway), known))
    yield checks.check_rate_limit(gateway)
    yield checks.attempt(
        "catalogue", lambda: checks.check_catalogue(load_catalogue(gateway, version.release), scenarios)
    )


def _line(check: Check) -> str:
    state = f"{check.state:<8}"
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb":
        state = f"\033[{32 if check.state == State.OK else 31}m{state}\033[0m"
    return f"{state} {check.name:<20} {printable(check.text)}"


def _info(_options: argparse.Namespace, settings: Settings, stack: StackState | None) -> ExitCode:
    own = own_stack(stack)
    gateway, _ = enter(settings, own)
    version = read_version(gateway)
    target = describe_target(
        gateway,
        version,
        load_catalogue(gateway, version.release),
        "local" if is_own(settings, own) else "external",
    )
    sys.stdout.write(store.dump(target))
    return ExitCode.OK


def _register(options: argparse.Namespace, settings: Settings, stack: StackState | None) -> ExitCode:
    servers = options.servers or [(server.name, server.url) for server in _running(stack).servers]
    gateway, _ = enter(settings, own_stack(stack))
    done = register(gateway, servers)
    print(
        f"{gateway.base_url}: {len(done.added)} MCP servers registered, {len(done.kept)} were registered already",
        file=sys.stderr,
    )
    return ExitCode.OK


def _unregister(options: argparse.Namespace, settings: Settings, stack: StackState | None) -> ExitCode:
    names = options.names or [server.name for server in _running(stack).servers]
    gateway, _ = enter(settings, own_stack(stack))
    done = unregister(gateway, names)
    print(f"{gateway.base_url}: MCP servers removed: {', '.join(done) or 'none'}", file=sys.stderr)
    return ExitCode.OK


def _fixtures(options: argparse.Namespace, settings: Settings, stack: StackState | None) -> ExitCode:
    gateway, _ = enter(settings, own_stack(stack))
    if options.action == "create":
        print(create_fixtures(gateway, _known_names(stack, gateway)))
    else:
        print(f"{gateway.base_url}: removed: {', '.join(remove_fixtures(gateway)) or 'nothing'}", file=sys.stderr)
    return ExitCode.OK


def _known_names(stack: StackState | None, gateway: Gateway) -> Sequence[str]:
    """Return the registered simulated servers; without any, the virtual server gets the tools of all servers."""
    registered = {upstream.name for upstream in upstreams(gateway)}
    return [server.name for server in stack.servers if server.name in registered] if stack else []


def _server(text: str) -> tuple[str, str]:
    name, separator, url = text.partition("=")
    if not (name and separator and "://" not in name):
        raise argparse.ArgumentTypeError("each must be NAME=URL, like time1=http://127.0.0.1:9101/mcp")
    if problem := address_problem(url):
        raise argparse.ArgumentTypeError(f"the address of {name} {problem}")
    return name, url


def _running(stack: StackState | None) -> StackState:
    if stack is None:
        raise UserError("no stack of this toolkit runs: make up")
    return stack


if __name__ == "__main__":
    run_program(main)
