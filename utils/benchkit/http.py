"""The only HTTP client of the toolkit. Every answer has a deadline and a size limit; nothing is taken from outside.

A deadline counts for the whole answer: name, connection, TLS, headers and body together. Before every read the socket
gets the time that is left, so bytes that drip do not extend it. The size counts twice: as it is sent, and after
decompression. No proxy, ``.netrc`` or cookie is used and no redirect is followed, as load generators do none of this.

Only the certificates of the authorities come from the environment: ``SSL_CERT_FILE``, else ``REQUESTS_CA_BUNDLE``, else
``CURL_CA_BUNDLE`` (a file, or a directory), and ``SSL_CERT_DIR`` (directories).
"""

from __future__ import annotations

import functools
import http.client
import io
import os
import socket
import ssl
import time
import weakref
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from benchkit.errors import UserError, os_reason
from benchkit.plain import plain_text, without_controls
from benchkit.strict_json import NotJSONError, parse_json

MOST_BYTES = 64 * 2**20
"""The largest answer that is read, in bytes, as it is sent and after decompression."""

MOST_EVENT_BYTES = 2**20
"""The largest server-sent event that is waited for, in bytes, with all that comes before it."""

CONNECT_TIMEOUT_S = 5.0
"""The longest wait for one of the addresses that a host name has."""

_PIECE = 65536
_HEAD_BYTES = 2**20
"""What the headers may add to the size of an answer."""

_PORTS = {"http": 80, "https": 443}
_BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_DEFAULT_HEADERS = {"Accept": "*/*", "Accept-Encoding": "gzip", "User-Agent": "mcp-gateway-benchmark"}
_NOT_ENCODED = "!#$%&'()*+,/:;=?@[]~"
"""Characters of an address that stay as they are, besides letters, digits, ``-``, ``.`` and ``_``."""


class Failure(StrEnum):
    """Why there is no answer."""

    ADDRESS = "address"
    """The address, a header or the body cannot be sent."""
    UNKNOWN_HOST = "unknown host"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    """The connection was not made in time."""
    UNTRUSTED = "untrusted"
    LATE = "late"
    LARGE = "large"
    BROKEN = "broken"
    """The connection was lost, or what came is not HTTP."""


class AnswerError(UserError):
    """There is no whole answer.

    Attributes:
        failure: the kind of reason.
        problem: the reason in words, without the address.
    """

    def __init__(self, address: str, failure: Failure, problem: str) -> None:
        super().__init__(f"{_shown(address)}: {problem}")
        self.failure = failure
        self.problem = plain_text(problem)


class TooLargeError(Exception):
    """An answer exceeds the size that is read."""


NO_ANSWER = (OSError, http.client.HTTPException, EOFError, ValueError, TooLargeError)
"""What is raised where a :class:`Connection` or :func:`event_lines` gives no whole answer."""


@dataclass(frozen=True)
class Answer:
    """What came back: HTTP status, headers (names in lower case), body (decompressed)."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the status says that the request was fulfilled."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The parsed body, without control characters; ``None`` when it is not JSON as :func:`parse_json` takes it."""
        try:
            return without_controls(parse_json(self.body))
        except NotJSONError:
            return None


class Limits:
    """The deadline and the size of one answer; the time starts now."""

    def __init__(self, seconds: float, most_bytes: int = MOST_BYTES) -> None:
        self.seconds = seconds
        self.most_bytes = most_bytes
        self.received = 0
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """The seconds that are left.

        Raises:
            TimeoutError: none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def take(self, count: int) -> None:
        """So many bytes were received.

        Raises:
            TooLargeError: that is too many.
        """
        self.received += count
        if self.received > self.most_bytes + _HEAD_BYTES:
            raise TooLargeError


class Session:
    """Sends requests and reads answers; keeps connections open between them. Several threads may share it."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, str, int], list[Connection]] = {}
        weakref.finalize(self, _close_all, self._idle)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept."""
        _close_all(self._idle)

    def send(
        self,
        method: str,
        url: str,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> Answer:
        """Send a request and read the whole answer within ``timeout_s`` seconds. A redirect is an answer.

        Raises:
            AnswerError: there is no whole answer, or it has more than ``most_bytes`` bytes.
        """
        limits = Limits(timeout_s, most_bytes)
        with _explained(url, limits), self._exchange(method, url, headers or {}, body, limits) as response:
            content = _body(response, limits)
            return Answer(response.status, _headers(response), content)

    def first_event(
        self,
        method: str,
        url: str,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """As :meth:`send`, but the body ends with the first server-sent event: its lines, without the blank one.

        Raises:
            AnswerError: as :meth:`send`; also when the event or what comes before it exceeds
                :data:`MOST_EVENT_BYTES`.
        """
        limits = Limits(timeout_s, MOST_EVENT_BYTES)
        sent = {"Accept-Encoding": "identity"} | dict(headers or {})
        with _explained(url, limits), self._exchange(method, url, sent, body, limits) as response:
            lines: list[bytes] = []
            for line in event_lines(response, limits):
                text = line.rstrip(b"\r\n")
                if not text and lines:
                    break
                if text:
                    lines.append(text)
            return Answer(response.status, _headers(response), b"\n".join(lines))

    @contextmanager
    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, limits: Limits
    ) -> Iterator[http.client.HTTPResponse]:
        address = parse_address(url)
        key = (address.scheme, address.hostname or "", address.port or _PORTS[address.scheme])
        idle = self._idle.setdefault(key, [])
        connection = idle.pop() if idle else Connection(address)
        is_reusable = False
        try:
            response = _asked(connection, method, address, headers, body, limits=limits)
            try:
                yield response
                # What was not read to its end would be taken for the beginning of the next answer.
                is_reusable = response.isclosed() and connection.sock is not None
            finally:
                response.close()
        finally:
            if is_reusable:
                idle.append(connection)
            else:
                connection.close()


class Connection(http.client.HTTPConnection):
    """A connection that waits and reads within the :attr:`limits` of the answer that is awaited."""

    sock: Any  # a _Wire, or None

    def __init__(self, address: SplitResult) -> None:
        self._secure = address.scheme == "https"
        self.default_port = _PORTS[address.scheme]
        super().__init__(address.hostname or "", address.port or self.default_port)
        self.limits = Limits(0.0)

    def connect(self) -> None:
        """Connect, with TLS where the address says so."""
        stream = _connected(self.host, self.port, self.limits)
        try:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._secure:
                stream.settimeout(self.limits.left())
                stream = trust().wrap_socket(stream, server_hostname=self.host)
        except BaseException:
            stream.close()
            raise
        self.sock = _Wire(stream, self)

    def request(self, *arguments: Any, **more: Any) -> None:
        """Send a request, in one piece: a server that has to read head and body one by one has more work."""
        super().request(*arguments, **more)
        self.sock.flush()


class _Wire:
    """What :mod:`http.client` takes for a socket: each call gets the time that is left, what arrives is counted."""

    def __init__(self, stream: socket.socket, connection: Connection) -> None:
        self._stream = stream
        self._connection = connection
        self._unsent = bytearray()

    def sendall(self, data: bytes) -> None:
        """Keep it until :meth:`flush`."""
        self._unsent += data

    def flush(self) -> None:
        """Send what was kept."""
        self._stream.settimeout(self._connection.limits.left())
        self._stream.sendall(self._unsent)
        self._unsent.clear()

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What arrives from now on, as a file."""
        return io.BufferedReader(_Arriving(self._stream, self._connection.limits))

    def close(self) -> None:
        """Close it, as soon as no file of it is open."""
        self._stream.close()


class _Arriving(io.RawIOBase):
    """The bytes of one answer."""

    def __init__(self, stream: socket.socket, limits: Limits) -> None:
        super().__init__()
        self._stream = stream
        # It keeps the socket open when the connection lets go of it, as it does where the answer ends with the stream.
        self._file = stream.makefile("rb", buffering=0)
        self._limits = limits

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._stream.settimeout(self._limits.left())
        count = self._file.readinto(buffer)
        self._limits.take(count or 0)
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def parse_address(url: str) -> SplitResult:
    """The parts of an ``http`` or ``https`` address.

    Raises:
        AnswerError: it is none, or it holds a user name or password.
    """
    try:
        address = urlsplit(url)
        valid = address.scheme in _PORTS and bool(address.hostname) and (address.port is None or address.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise AnswerError(url, Failure.ADDRESS, "not an http:// or https:// address")
    if "@" in address.netloc:
        raise AnswerError(url, Failure.ADDRESS, "an address may not hold a user name or a password")
    return address


def request_target(address: SplitResult) -> str:
    """Path and query as they are sent: what HTTP does not allow there is percent-encoded."""
    target = (address.path or "/") + (f"?{address.query}" if address.query else "")
    return quote(target, safe=_NOT_ENCODED, errors="replace")


def event_lines(response: http.client.HTTPResponse, limits: Limits) -> Iterator[bytes]:
    """The lines of a stream of server-sent events, with their ends, up to the end of the stream.

    Raises:
        TimeoutError: the time of ``limits`` is over.
        TooLargeError: more than its bytes came.
    """
    while True:
        limits.left()
        line = response.readline(limits.most_bytes + 1)
        if len(line) > limits.most_bytes:
            raise TooLargeError
        if not line:
            return
        yield line


def trust() -> ssl.SSLContext:
    """Which certificates are trusted: the authorities that the environment names, else those of the system.

    Raises:
        UserError: a file or directory that the environment names cannot be read.
    """
    bundle = next(((name, os.environ[name]) for name in _BUNDLES if os.environ.get(name)), None)
    directories = [("SSL_CERT_DIR", one) for one in os.environ.get("SSL_CERT_DIR", "").split(os.pathsep) if one]
    return _context(bundle is None, (*([bundle] if bundle else []), *directories))


@functools.cache
def _context(system: bool, places: tuple[tuple[str, str], ...]) -> ssl.SSLContext:
    """``system``: also the authorities of the system; ``places``: variables of the environment with what they name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    if system:
        # Some Pythons know no authority of the system. This list comes with requests.
        from certifi import where  # pylint: disable=import-outside-toplevel # only TLS needs it

        context.load_default_certs()
        context.load_verify_locations(where())
    for name, place in places:
        try:
            _load(context, Path(place))
        except OSError as error:
            raise UserError(f"{name}={place}: no certificates can be read there: {os_reason(error)}") from None
    return context


def _load(context: ssl.SSLContext, place: Path) -> None:
    if not place.is_dir():
        context.load_verify_locations(cafile=place)
        return
    # OpenSSL finds certificates in a directory by names that are made of their hashes; here all names count.
    for path in sorted(place.iterdir()):
        with suppress(OSError):
            context.load_verify_locations(cafile=path)


def _connected(host: str, port: int, limits: Limits) -> socket.socket:
    """A socket that is connected to the first address of a host that answers."""
    problem: OSError = socket.gaierror(f"{host} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        stream = socket.socket(family, kind, protocol)
        try:
            stream.settimeout(min(CONNECT_TIMEOUT_S, limits.left()))
            stream.connect(address)
        except OSError as error:
            stream.close()
            problem = _NobodyAnswersError() if isinstance(error, TimeoutError) else error
        else:
            return stream
    raise problem


class _NobodyAnswersError(OSError):
    """No connection was made in time."""


def _asked(
    connection: Connection,
    method: str,
    address: SplitResult,
    headers: Mapping[str, str],
    body: bytes | None,
    *,
    limits: Limits,
) -> http.client.HTTPResponse:
    """The answer to a request, up to its headers."""
    given = {name.lower() for name in headers}
    all_headers = {name: value for name, value in _DEFAULT_HEADERS.items() if name.lower() not in given} | dict(headers)
    while True:
        connection.limits = limits
        is_used = connection.sock is not None
        try:
            connection.request(method, request_target(address), body=body, headers=all_headers)
        except (ValueError, http.client.InvalidURL) as error:
            if isinstance(error, ssl.SSLError):
                raise
            # Its own words quote the header, and that may be the token.
            raise AnswerError(
                address.geturl(), Failure.ADDRESS, "a header or the address holds what HTTP cannot send"
            ) from None
        except (ConnectionResetError, BrokenPipeError):
            connection.close()
            if not is_used:
                raise
            continue
        try:
            return connection.getresponse()
        except ConnectionResetError:  # RemoteDisconnected is one
            # A server closes a connection that is idle without saying so, and a gateway one that had an internal error.
            # The request was not read, so it is sent again; a new connection that is closed is an answer of a kind.
            connection.close()
            if not is_used:
                raise


def _headers(response: http.client.HTTPResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        known = headers.get(name.lower())
        headers[name.lower()] = value if known is None else f"{known}, {value}"
    return headers


def _body(response: http.client.HTTPResponse, limits: Limits) -> bytes:
    encoding = (response.headers.get("Content-Encoding") or "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise http.client.HTTPException(f"the content encoding is {plain_text(encoding, 40)}, which was not asked for")
    pieces: list[bytes] = []
    size = 0
    for piece in _pieces(response) if encoding == "identity" else _inflated(response):
        limits.left()
        size += len(piece)
        if size > limits.most_bytes:
            raise TooLargeError
        pieces.append(piece)
    return b"".join(pieces)


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while piece := response.read(_PIECE):
        yield piece
    if response.length:
        raise http.client.HTTPException(f"the connection ended {response.length} bytes before the answer did")


def _inflated(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The decompressed body, in pieces that are never much larger than those that arrive."""
    inflater = zlib.decompressobj(wbits=31)
    started = False
    for piece in _pieces(response):
        waiting = piece
        while waiting:
            if inflater.eof:  # a gzip file may have several members
                inflater = zlib.decompressobj(wbits=31)
            started = True
            yield inflater.decompress(waiting, _PIECE)
            waiting = inflater.unused_data or inflater.unconsumed_tail
    while started and not inflater.eof:
        piece = inflater.decompress(b"", _PIECE)
        if not piece:
            raise http.client.HTTPException("the compressed answer is not complete")
        yield piece


@contextmanager
def _explained(url: str, limits: Limits) -> Iterator[None]:
    """Turns everything that can happen to an answer into an :class:`AnswerError`."""
    try:
        yield
    except UserError:
        raise
    except TooLargeError:
        failure = Failure.LARGE
        problem = f"the answer has more than {limits.most_bytes:,} bytes, which is the most that is read"
    except TimeoutError:
        failure = Failure.LATE
        came = f" was complete ({limits.received:,} bytes came)" if limits.received else ""
        problem = f"no answer{came} within {limits.seconds:g} s"
    except _NobodyAnswersError:
        failure, problem = Failure.UNREACHABLE, f"nobody answered within {min(CONNECT_TIMEOUT_S, limits.seconds):g} s"
    except socket.gaierror:
        failure, problem = Failure.UNKNOWN_HOST, "there is no such host"
    except ConnectionRefusedError as error:
        failure, problem = Failure.REFUSED, os_reason(error)
    except ssl.SSLError as error:
        failure, problem = Failure.UNTRUSTED, f"no trusted TLS connection ({_words(error)})"
    except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
        failure, problem = Failure.BROKEN, f"no HTTP answer ({_words(error)})"
    else:
        return
    raise AnswerError(url, failure, problem)


def _words(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return plain_text(getattr(error, "verify_message", "") or error.reason or str(error), 200)
    words = os_reason(error) if isinstance(error, OSError) else str(error) or type(error).__name__
    return plain_text(words, 200)


def _shown(url: str) -> str:
    """An address as errors show it: without its query, which may hold what a user asks for."""
    return plain_text(url.partition("?")[0], 200)


def _close_all(idle: Mapping[Any, list[Connection]]) -> None:
    for connections in idle.values():
        while connections:
            connections.pop().close()
