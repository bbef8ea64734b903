#!/usr/bin/env python3
"""Run a simulated MCP server that answers questions about time zones from a database."""

import argparse
import errno
import gc
import logging
import re
import signal
import socket
import sys
from types import FrameType
from typing import NoReturn

import uvicorn

from timesim import VERSION
from timesim.app import application
from timesim.catalogue import FURTHER_TOOLS_LIMIT
from timesim.database import URL_FORMS, open_store
from timesim.errors import UserError
from timesim.store import Store

LOG = logging.getLogger("timesim")

EXIT_USAGE = 2
BACKLOG = 2048
GRACE_SECONDS = 1  # for requests in flight when the server is stopped

DESCRIPTION = """\
Run a simulated MCP server (streamable HTTP, without sessions, JSON answers) whose tools, resources and prompt are
answered from a database. The first start fills the database.
"""
EPILOG = f"""\
database URLs: {URL_FORMS}, also postgresql+psycopg://user@/database?host=/socket/directory
endpoints:     POST /mcp, GET /health, GET /counters
exit codes:    0 stopped by SIGINT or SIGTERM, 2 wrong usage, a database that cannot be used, or a port that is taken
example:       python servers/time_server.py --name time1 --port 9101 --database sqlite:////var/tmp/time1.db
"""


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal arrives; return the exit code."""
    options = _parser().parse_args(arguments)
    _log_to_stderr()
    # uvicorn handles these signals while it serves and raises them again after it has stopped. Then this handler
    # decides the exit code. It also ends a start that is still filling the database.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        with _listen(options.host, options.port) as listener:
            _serve(options.name, options.host, listener, open_store(options.database, options.seed), options.tools)
    except UserError as error:
        print(f"time_server.py: {error}", file=sys.stderr)
        return EXIT_USAGE
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--name", type=_name, default="time1", help="name of the server, also in its resources (default: %(default)s)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=9101, help="port to listen on, 0 for any that is free (default: %(default)s)"
    )
    parser.add_argument(
        "--database", required=True, metavar="URL", help="SQLite file or PostgreSQL database, see below"
    )
    parser.add_argument(
        "--seed", type=int, default=1203, help="seed of the generated large document (default: %(default)s)"
    )
    parser.add_argument(
        "--tools",
        type=_number_of_tools,
        default=0,
        metavar="N",
        help="number of additional tools, to make listings as long as those of a large gateway (default: %(default)s)",
    )
    parser.add_argument("--version", action="version", version=VERSION)
    return parser


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is invalid in a URI; expected letters, digits, '.', '_' and '-'")
    return text


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; expected 0 to 65535")
    return int(text)


def _number_of_tools(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= FURTHER_TOOLS_LIMIT):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of tools; expected 0 to {FURTHER_TOOLS_LIMIT}")
    return int(text)


def _log_to_stderr() -> None:
    # The SDK and uvicorn log several lines per request, which costs time under load, so only their errors are logged.
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR, format="%(asctime)s %(levelname)s %(message)s")
    LOG.setLevel(logging.INFO)


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _listen(host: str, port: int) -> socket.socket:
    """Bind the port before any other work, so that of two servers on one port the second fails at once.

    Raises:
        UserError: the port is taken, or the address does not belong to this machine.
    """
    # Not socket.create_server(): it does not set the protocol, which asyncio checks before it disables Nagle's
    # algorithm. Then each answer would wait 40 ms for the client's delayed acknowledgement.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            reason = f"port {port} on {host} is taken: stop the program that listens there, or choose another --port"
        else:
            reason = f"cannot listen on {host} port {port}: {error.strerror}"
        raise UserError(reason) from error
    return listener


def _serve(name: str, host: str, listener: socket.socket, store: Store, further_tools: int) -> None:
    app = application(name, host, store, further_tools)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    shown = f"[{host}]" if ":" in host else host
    LOG.info("%s serves http://%s:%d/mcp from %s", name, shown, listener.getsockname()[1], store.backend)
    # Garbage collection walks over the objects of all modules, which takes 50 ms and more, in the middle of requests:
    # the 99th percentile was 60 ms with it and 18 ms without. Existing objects are permanent, so they are excluded.
    gc.collect()
    gc.freeze()
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    sys.exit(main())
