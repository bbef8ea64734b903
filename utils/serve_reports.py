#!/usr/bin/env -S python3 -Es
"""Serve the reports in the results directory on 127.0.0.1, read-only, until Ctrl-C.

Every user of this machine can connect to 127.0.0.1, so the printed address begins with a random path, and only requests
with that path get an answer. Only files are served: a directory redirects to its index.html or report.html, and none is
listed. Names that begin with a dot, and paths outside the directory, also through a link, are not found. A request for
a host other than 127.0.0.1 or localhost is refused, so that no web page can read the reports through the browser.

exit: 2 the port is taken, or there are no results; 130, 143 interrupted
"""

from __future__ import annotations

import argparse
import errno
import secrets
import signal
import stat
import sys
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote, unquote

from benchkit.errors import ExitCode, UserError, os_reason, run_program
from benchkit.settings import load_settings

HOST = "127.0.0.1"
STARTS = ("index.html", "report.html", "history.html", "tune.html")
"""File names that a directory redirects to; the first that exists."""

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    **dict.fromkeys([".csv", ".err", ".log", ".md", ".txt", ".xml"], "text/plain; charset=utf-8"),
}
"""Content types by the end of the file name; a browser saves all other files."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Handler(SimpleHTTPRequestHandler):
    """Answer GET and HEAD with files below the resolved ``root``, under the path ``/KEY/``."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    server_version = "reports"
    sys_version = ""

    def __init__(self, root: Path, key: str, *arguments: Any) -> None:
        self._root = root
        self._prefix = f"/{key}"
        self._file = root
        super().__init__(*arguments)

    def send_head(self) -> Any:
        """Send the head of the answer. Returns the open file to send; ``None`` if there is none."""
        name = self.headers.get("Host") or ""
        if (name.rpartition(":")[0] or name) not in (HOST, "localhost"):
            return self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        path = self.path.partition("?")[0]
        given, asked = path[: len(self._prefix)], path[len(self._prefix) :] or "/"
        known = secrets.compare_digest(given.encode(), self._prefix.encode())
        found = find(self._root, asked) if known else None
        if found is None:
            return self.send_error(HTTPStatus.NOT_FOUND)
        if isinstance(found, Path):
            self._file = found
            return super().send_head()
        self.send_response(HTTPStatus.FOUND)
        self.send_header("Location", f"{self._prefix}{found}")
        self.send_header("Content-Length", "0")
        return self.end_headers()

    def translate_path(self, path: str) -> str:  # noqa: ARG002 - the base class passes it
        """Return the file that was found: a regular file, so that the base class lists no directory."""
        return str(self._file)

    def guess_type(self, path: Any) -> str:
        """Return the content type of a file."""
        return KINDS.get(Path(path).suffix, "application/octet-stream")

    def end_headers(self) -> None:
        """Add the headers above to every answer, errors too."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        """No access log."""


class Server(ThreadingHTTPServer):
    """A server with one thread per connection; the threads do not keep the program alive."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a browser that disconnected during the answer."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # passed on


def find(root: Path, path: str) -> Path | str | None:
    """Return the file at an address; for a directory, the address to redirect to; ``None`` if not found.

    Args:
        root: the resolved directory with all files.
        path: the path of the address, percent-encoded.
    """
    parts = [part for part in unquote(path).split("/") if part]
    if not path.startswith("/") or any(part.startswith(".") or "\0" in part or "\\" in part for part in parts):
        return None
    try:
        found = root.joinpath(*parts).resolve(strict=True)
        mode = found.stat().st_mode
    except (OSError, RuntimeError):  # does not exist, the name is too long, or links form a loop
        return None
    if not found.is_relative_to(root) or any(part.startswith(".") for part in found.relative_to(root).parts):
        return None
    if stat.S_ISREG(mode):
        return found
    start = next((name for name in STARTS if (found / name).is_file()), None) if stat.S_ISDIR(mode) else None
    if start is None:
        return None
    return "/" + "/".join(quote(part) for part in [*parts, start])


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(ExitCode.TERMINATED)


def main() -> ExitCode:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", default="8099", metavar="N", help="port on 127.0.0.1 (8099); 0: any that is free")
    parser.add_argument(
        "--results-dir", type=Path, metavar="DIR", help="directory of the runs (default: RESULTS_DIR, config.yaml)"
    )
    options = parser.parse_args()
    root: Path = (options.results_dir or load_settings().results_dir).resolve()
    if not root.is_dir():
        raise UserError(f"{root}: there is no such directory; runs are written there")
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _terminate)
    key = secrets.token_urlsafe(16)
    with _listen(options.port, root, key) as server:
        print(f"reports: http://{HOST}:{server.server_port}/{key}/ (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except (KeyboardInterrupt, SystemExit) as end:
            print("\nstopped", file=sys.stderr)
            return ExitCode.TERMINATED if isinstance(end, SystemExit) else ExitCode.INTERRUPTED
    return ExitCode.OK


def _listen(port: str, root: Path, key: str) -> Server:
    if not port.isdecimal() or int(port) > 65535:
        raise UserError(f"PORT={port}: must be a port, like 8099")
    try:
        return Server((HOST, int(port)), partial(Handler, root, key))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} is taken: take another one, make serve-reports PORT=8100") from error
        raise UserError(f"port {port}: cannot be listened on: {os_reason(error)}; take another one") from error


if __name__ == "__main__":
    run_program(main)
