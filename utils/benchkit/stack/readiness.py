"""Readiness checks of the programs, one kind each; they return what is missing, or ``None``."""

from __future__ import annotations

import http.client
import socket

from benchkit.errors import os_reason
from benchkit.http import AnswerError, Session
from benchkit.stack.topology import LOOPBACK

_TIMEOUT_S = 2.0
_FOREIGN_TIMEOUT_S = 5.0


def http_problem(port: int, path: str) -> str | None:
    """Return why ``GET path`` on a loopback port does not answer 200."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(200).decode("utf-8", "replace")
    except OSError as error:
        return f"GET {path}: {os_reason(error)}"
    except http.client.HTTPException as error:
        return f"GET {path}: not HTTP ({type(error).__name__})"
    finally:
        connection.close()
    return None if response.status == http.HTTPStatus.OK else f"GET {path}: HTTP {response.status} {body}".rstrip()


def redis_problem(path: str) -> str | None:
    """Return why the Redis on a Unix socket does not answer PING."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(path)
            connection.sendall(b"PING\r\n")
            answer = connection.recv(100)
    except OSError as error:
        return f"PING: {os_reason(error)}"
    return None if answer.startswith(b"+PONG") else f"PING: {answer!r}"


def gateway_problem(base_url: str) -> str | None:
    """Return why no gateway answers ``GET /health`` at any address.

    The request is sent like those of a run: without a proxy, without following redirects, with the certificates that
    the environment names, and with a timeout for the complete answer.
    """
    with Session() as session:
        try:
            answer = session.send("GET", f"{base_url}/health", timeout_s=_FOREIGN_TIMEOUT_S)
        except AnswerError as error:
            return error.problem
    return None if answer.ok else f"HTTP {answer.status}"
