"""The only HTTP client of the toolkit. Every answer has a deadline and a size limit.

A deadline covers the whole answer: name lookup, connection, TLS, headers and body together. Before every read the
socket's timeout is set to the remaining time, so a slow trickle of bytes does not extend it. The size limit applies
twice: to the bytes received, and to the decompressed body. The client uses no proxy, ``.netrc`` or cookies and follows
no redirects, because load generators do not either.

Only the certificate authorities come from the environment: ``SSL_CERT_FILE``, else ``REQUESTS_CA_BUNDLE``, else
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
"""Maximum size of an answer in bytes, as received and after decompression."""

MOST_EVENT_BYTES = 2**20
"""Maximum size of a server-sent event in bytes, including everything before it."""

CONNECT_TIMEOUT_S = 5.0
"""Timeout for connecting to one of a host's addresses, in seconds."""

_PIECE = 65536
_HEAD_BYTES = 2**20
"""Bytes that the headers may add to the size of an answer."""

_PORTS = {"http": 80, "https": 443}
_BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_DEFAULT_HEADERS = {"Accept": "*/*", "Accept-Encoding": "gzip", "User-Agent": "mcp-gateway-benchmark"}
_NOT_ENCODED = "!#$%&'()*+,/:;=?@[]~"
"""Characters of an address that are not encoded, besides letters, digits, ``-``, ``.`` and ``_``."""


class Failure(StrEnum):
    """Reasons for a missing answer."""

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
    """No complete answer arrived.

    Attributes:
        failure: the kind of reason.
        problem: the reason in words, without the address.
    """

    def __init__(self, address: str, failure: Failure, problem: str) -> None:
        super().__init__(f"{_shown(address)}: {problem}")
        self.failure = failure
        self.problem = plain_text(problem)


class TooLargeError(Exception):
    """An answer exceeds its size limit."""


NO_ANSWER = (OSError, http.client.HTTPException, EOFError, ValueError, TooLargeError)
"""Exceptions of a :class:`Connection` or of :func:`event_lines` if no complete answer arrives."""


@dataclass(frozen=True)
class Answer:
    """A response: HTTP status, headers (names in lower case), body (decompressed)."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        """Return whether the status reports success."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Return the parsed body, without control characters; ``None`` if :func:`parse_json` does not accept it."""
        try:
            return without_controls(parse_json(self.body))
        except NotJSONError:
            return None


class Limits:
    """The deadline and the size limit of one answer; the time starts now."""

    def __init__(self, seconds: float, most_bytes: int = MOST_BYTES) -> None:
        self.seconds = seconds
        self.most_bytes = most_bytes
        self.received = 0
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the remaining seconds.

        Raises:
            TimeoutError: the time is over.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def take(self, count: int) -> None:
        """Record received bytes.

        Raises:
            TooLargeError: the total exceeds the limit.
        """
        self.received += count
        if self.received > self.most_bytes + _HEAD_BYTES:
            raise TooLargeError


class Session:
    """Send requests and read answers, over connections that are kept open between requests. Thread-safe."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, str, int], list[Connection]] = {}
        weakref.finalize(self, _close_all, self._idle)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections."""
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
            AnswerError: no complete answer arrived, or it has more than ``most_bytes`` bytes.
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
            AnswerError: as :meth:`send`; also when the event and everything before it exceed
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
                # Unread bytes would be taken for the start of the next answer.
                is_reusable = response.isclosed() and connection.sock is not None
            finally:
                response.close()
        finally:
            if is_reusable:
                idle.append(connection)
            else:
                connection.close()


class Connection(http.client.HTTPConnection):
    """A connection that connects and reads within the :attr:`limits` of the current answer."""

    sock: Any  # a _Wire, or None

    def __init__(self, address: SplitResult) -> None:
        self._secure = address.scheme == "https"
        self.default_port = _PORTS[address.scheme]
        super().__init__(address.hostname or "", address.port or self.default_port)
        self.limits = Limits(0.0)

    def connect(self) -> None:
        """Connect, with TLS if the address requires it."""
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
        """Send a request in one piece: a server that has to read head and body separately has more work."""
        super().request(*arguments, **more)
        self.sock.flush()


class _Wire:
    """A socket for :mod:`http.client` whose calls get the remaining time and whose received bytes are counted."""

    def __init__(self, stream: socket.socket, connection: Connection) -> None:
        self._stream = stream
        self._connection = connection
        self._unsent = bytearray()

    def sendall(self, data: bytes) -> None:
        """Buffer the data until :meth:`flush`."""
        self._unsent += data

    def flush(self) -> None:
        """Send the buffered data."""
        self._stream.settimeout(self._connection.limits.left())
        self._stream.sendall(self._unsent)
        self._unsent.clear()

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a file of the bytes that arrive from now on."""
        return io.BufferedReader(_Arriving(self._stream, self._connection.limits))

    def close(self) -> None:
        """Close the socket, as soon as all of its files are closed."""
        self._stream.close()


class _Arriving(io.RawIOBase):
    """The bytes of one answer, as a raw stream."""

    def __init__(self, stream: socket.socket, limits: Limits) -> None:
        super().__init__()
        self._stream = stream
        # The file keeps the socket open after the connection drops it, as happens if the answer ends with the stream.
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
    """Return the parts of an ``http`` or ``https`` address.

    Raises:
        AnswerError: the text is not such an address, or it holds a user name or password.
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
    """Return path and query as they are sent: percent-encoded where HTTP requires it."""
    target = (address.path or "/") + (f"?{address.query}" if address.query else "")
    return quote(target, safe=_NOT_ENCODED, errors="replace")


def event_lines(response: http.client.HTTPResponse, limits: Limits) -> Iterator[bytes]:
    """Yield the lines of a stream of server-sent events, with their line ends, until the stream ends.

    Raises:
        TimeoutError: the time of ``limits`` is over.
        TooLargeError: the stream exceeds the size of ``limits``.
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
    """Return the TLS context with the authorities that the environment names, else those of the system.

    Raises:
        UserError: a file or directory that the environment names cannot be read.
    """
    bundle = next(((name, os.environ[name]) for name in _BUNDLES if os.environ.get(name)), None)
    directories = [("SSL_CERT_DIR", one) for one in os.environ.get("SSL_CERT_DIR", "").split(os.pathsep) if one]
    return _context(bundle is None, (*([bundle] if bundle else []), *directories))


@functools.cache
def _context(system: bool, places: tuple[tuple[str, str], ...]) -> ssl.SSLContext:
    """``system``: include the system's authorities; ``places``: environment variables with their paths."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    if system:
        # Some Pythons find no authorities on the system. certifi is installed with requests.
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
    # OpenSSL finds certificates in a directory by hashed names; here any name works.
    for path in sorted(place.iterdir()):
        with suppress(OSError):
            context.load_verify_locations(cafile=path)


def _connected(host: str, port: int, limits: Limits) -> socket.socket:
    """Return a socket connected to the first address of a host that answers."""
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
    """No connection was established in time."""


def _asked(
    connection: Connection,
    method: str,
    address: SplitResult,
    headers: Mapping[str, str],
    body: bytes | None,
    *,
    limits: Limits,
) -> http.client.HTTPResponse:
    """Send a request and return the answer, read up to its headers."""
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
            # The exception's message quotes the header, which may be the token.
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
        except ConnectionResetError:  # RemoteDisconnected is a subclass
            # A server closes an idle connection without notice, and a gateway does after an internal error. The request
            # was not read, so it is sent again. But if a new connection is closed, that is the server's answer.
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
    """Yield the decompressed body, in pieces not much larger than those received."""
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
    """Turn every exception of an exchange into an :class:`AnswerError`."""
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
    """Return an address for errors: without its query, which may hold user input."""
    return plain_text(url.partition("?")[0], 200)


def _close_all(idle: Mapping[Any, list[Connection]]) -> None:
    for connections in idle.values():
        while connections:
            connections.pop().close()
