"""The supervisor: its configuration, and its XML-RPC interface over a Unix socket."""

from __future__ import annotations

import contextlib
import http.client
import socket
import xmlrpc.client
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from xml.parsers.expat import ExpatError

from benchkit.errors import UserError
from benchkit.stack.deployment import ProgramStatus

_RPC_TIMEOUT_S = 5.0
_LOG_BYTES = 5_000_000
_LOG_BACKUPS = 1

Group = Literal["services", "clients"]
"""Services are needed by others (databases, cache) and stopped last; clients are the gateway and the servers."""

# The group with the highest number is stopped first.
_PRIORITIES: dict[Group, int] = {"services": 1, "clients": 2}


@dataclass(frozen=True)
class Program:
    """One process of the stack.

    ``script`` is the text of a shell script that ends in ``exec``. ``one_shot``: it ends by itself after its work.
    """

    name: str
    group: Group
    script: str
    port: int | None = None
    stop_signal: Literal["TERM", "INT"] = "TERM"
    one_shot: bool = False


def render_config(programs: Sequence[Program], socket_path: str) -> str:
    """Return the supervisor's configuration. Its working directory is the stack's, so no path needs quoting.

    Nothing starts automatically, because a program's dependencies must be ready first. Nothing is restarted, because a
    gateway that crashes during a measurement must stay down to be noticed.
    """
    lines = [
        "; Written by utils/stack.py at each start.",
        "[supervisord]",
        "nodaemon=true",
        "silent=true",
        "logfile=logs/supervisord.log",
        "logfile_maxbytes=1000000",
        "logfile_backups=1",
        "pidfile=supervisord.pid",
        "childlogdir=logs",
        "",
        "[unix_http_server]",
        f"file={socket_path}",
        "chmod=0600",
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for group, priority in _PRIORITIES.items():
        members = [program for program in programs if program.group == group]
        if members:
            names = ",".join(program.name for program in members)
            lines += ["", f"[group:{group}]", f"programs={names}", f"priority={priority}"]
    for program in programs:
        lines += [
            "",
            f"[program:{program.name}]",
            f"command=/bin/sh programs/{program.name}",
            "autostart=false",
            "autorestart=false",
            "startsecs=0",
            f"stopsignal={program.stop_signal}",
            "stopwaitsecs=4",
            "stopasgroup=true",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile=logs/{program.name}.log",
            f"stdout_logfile_maxbytes={_LOG_BYTES}",
            f"stdout_logfile_backups={_LOG_BACKUPS}",
        ]
    return "\n".join(lines) + "\n"


class _Connection(http.client.HTTPConnection):
    """Connection to a Unix socket with a timeout, which supervisor's own transport does not have."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_RPC_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Supervisor:
    """A running supervisor. Every method raises ``UserError`` if it does not answer.

    ``seen`` is the last result of :meth:`statuses`, by program name.
    """

    def __init__(self, socket_path: str) -> None:
        self.seen: dict[str, ProgramStatus] = {}
        self._socket_path = socket_path

    def answers(self) -> bool:
        """Return whether it is ready to start programs."""
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except UserError:
            return False

    def start(self, program: Program) -> None:
        """Start a program; :meth:`statuses` shows whether it runs."""
        self._call("startProcess", f"{program.group}:{program.name}", False)

    def shut_down(self) -> None:
        """Start to stop the clients, then the services, then itself."""
        self._call("shutdown")

    def statuses(self) -> list[ProgramStatus]:
        """Return the status of all programs, sorted by name."""
        found = [
            ProgramStatus(
                name=info["name"],
                state=info["statename"],
                pid=info["pid"],
                uptime_s=max(0, info["now"] - info["start"]) if info["pid"] else 0,
                exit_status=info["exitstatus"],
            )
            for info in self._call("getAllProcessInfo")
        ]
        self.seen = {status.name: status for status in found}
        return found

    def _call(self, method: str, *arguments: str | bool) -> Any:
        body = xmlrpc.client.dumps(arguments, f"supervisor.{method}")
        try:
            with contextlib.closing(_Connection(self._socket_path)) as connection:
                connection.request("POST", "/RPC2", body, {"Content-Type": "text/xml"})
                (value,), _ = xmlrpc.client.loads(connection.getresponse().read())
        except xmlrpc.client.Fault as error:
            raise UserError(f"the stack's supervisor does not do {method}: {error.faultString}") from error
        except (OSError, http.client.HTTPException, ExpatError, xmlrpc.client.Error) as error:
            detail = str(error) or type(error).__name__
            raise UserError(f"the stack's supervisor does not do {method}: {detail}") from error
        return value
