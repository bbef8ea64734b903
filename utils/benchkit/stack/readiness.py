"""Is a program ready? Each is asked in its own way; the answer is what is missing, or ``None``."""

from __future__ import annotations

import http.client
import socket
import urllib.error
import urllib.request

from benchkit.errors import os_reason
from benchkit.stack.processes import LOOPBACK

_TIMEOUT_S = 2.0
_FOREIGN_TIMEOUT_S = 5.0


def http_problem(port: int, path: str) -> str | None:
    """Why ``GET path`` on a loopback port does not answer 200."""
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
    """Why the Redis on a Unix socket does not answer PING."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(path)
            connection.sendall(b"PING\r\n")
            answer = connection.recv(100)
    except OSError as error:
        return f"PING: {os_reason(error)}"
    return None if answer.startswith(b"+PONG") else f"PING: {answer!r}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Another address is another target: what answers there is not what would be measured."""

    def redirect_request(self, *_: object) -> None:
        """Follow none; the answer becomes an HTTPError."""


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
"""As the load goes: through no proxy of the environment."""


def gateway_problem(base_url: str) -> str | None:
    """Why no gateway answers ``GET /health`` at an address, wherever that is."""
    try:
        with _DIRECT.open(f"{base_url}/health", timeout=_FOREIGN_TIMEOUT_S):
            return None
    except urllib.error.HTTPError as error:
        error.close()
        return f"HTTP {error.code}"
    except urllib.error.URLError as error:
        return os_reason(error.reason) if isinstance(error.reason, OSError) else str(error.reason)
    except OSError as error:
        return os_reason(error)
    except http.client.HTTPException as error:
        return f"not HTTP ({type(error).__name__})"
