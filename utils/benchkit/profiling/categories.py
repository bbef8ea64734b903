"""Assign a category of work to each stack, with a table of frames and a rule that picks the deciding frame.

The rule: a garbage collector frame anywhere on the stack decides, because everything below it runs on its behalf.
Otherwise the *innermost* frame that matches the table decides: a JSON decoder that SQLAlchemy calls is serialization, a
list comprehension in a middleware belongs to that middleware. Helpers (contextlib, typing, re) are not in the table, so
their time is their caller's. Frames of the second table (event loop, frameworks) surround every request, so they decide
only if no frame of the first table does. A stack without any match is ``OTHER``.

To extend it, add a row to :data:`ROWS`; if two rows match a frame, the first one wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from benchkit.profiling.document import Category
from benchkit.profiling.samples import Frame, Stack, is_python

LABELS: dict[Category, tuple[str, str]] = {
    Category.GC: ("garbage collection", "Python's collector looks for reference cycles"),
    Category.MIDDLEWARE: ("middleware", "the layers around every request: Starlette's, the gateway's, compression"),
    Category.AUTH: ("authentication", "tokens, passwords, permissions, scopes"),
    Category.DATABASE: ("database", "SQLAlchemy, the driver, and SQLite, which runs inside the gateway"),
    Category.CACHE: ("cache", "Redis, and the gateway's own caches"),
    Category.SERIALIZATION: ("serialization", "JSON and the models behind it: pydantic, orjson, json"),
    Category.UPSTREAM: ("upstream calls", "the MCP client and HTTP to the MCP servers"),
    Category.LOGGING: ("logging", "logs, metrics of single requests, tracing"),
    Category.ROUTING: ("routing", "FastAPI and Starlette: finding the endpoint, resolving its dependencies"),
    Category.GATEWAY: ("gateway's own code", "its endpoints and services, where no other row fits"),
    Category.LOOP: ("event loop and HTTP", "uvloop, asyncio, uvicorn: tasks, timers, parsing and writing of requests"),
    Category.OTHER: ("the rest", "no rule matches the stack"),
    Category.GIL: ("waiting for the interpreter", "another thread runs Python code"),
    Category.WAITING: ("waiting", "for a request, an answer, a lock, or something to do"),
}
"""Name and description by category, in display order."""


@dataclass(frozen=True)
class Row:
    """A row of the table: a frame that matches it decides for ``category``.

    ``places``: prefixes of the frame's path (see :func:`benchkit.profiling.samples.short_place`). ``functions``: a
    pattern for its whole name; with ``places`` both must match. ``leaf``: match only the innermost frame.
    """

    category: Category
    places: tuple[str, ...] = ()
    functions: str = ""
    leaf: bool = False

    def fits(self, frame: Frame) -> bool:
        """Return whether the frame matches this row."""
        if self.places and not frame.place.startswith(self.places):
            return False
        return not self.functions or re.fullmatch(self.functions, frame.function) is not None


COLLECTOR = Row(
    Category.GC, functions=r"_?(Py)?gc_(collect|run)\w*|_?PyGC_Collect\w*|_Py_RunGC|collect_with_callback|collect_\w*gc"
)
"""The collector's frames. They have names only if the interpreter kept its symbols."""

ROWS = (
    # CPython uses this function of the C library only to wait for the interpreter lock.
    Row(
        Category.GIL, functions=r"take_gil|_?_?pthread_cond_timedwait|PyEval_(RestoreThread|AcquireThread|AcquireLock)"
    ),
    Row(Category.WAITING, functions=r"epoll_p?wait2?|kevent(64)?|PyThread_acquire_lock_timed|_?_?pthread_cond_wait"),
    Row(Category.WAITING, functions=r"(new_)?sem_(timed|clock)?wait|(clock_)?nanosleep"),
    Row(Category.WAITING, ("threading.py",), r"(\w+\.)?(wait|acquire|join|_wait_for_tstate_lock)"),
    Row(Category.WAITING, ("queue.py",), r"(\w+\.)?get"),
    Row(Category.WAITING, ("selectors.py",)),
    # Without frames of compiled code, these are the innermost frames of an idle thread.
    Row(Category.WAITING, ("concurrent/futures/thread.py",), "_worker", leaf=True),
    Row(Category.WAITING, ("asyncio/runners.py",), leaf=True),
    Row(
        Category.AUTH,
        (
            "jwt/",
            "cryptography/",
            "argon2",
            "_argon2",
            "bcrypt",
            "passlib/",
            "hmac.py",
            "mcpgateway/auth",
            "mcpgateway/utils/verify_credentials.py",
            "mcpgateway/utils/jwt_config_helper.py",
            "mcpgateway/utils/create_jwt_token.py",
            "mcpgateway/middleware/auth_",
            "mcpgateway/middleware/http_auth_",
            "mcpgateway/middleware/token_",
            "mcpgateway/middleware/rbac",
            "mcpgateway/services/email_auth_",
            "mcpgateway/services/token_",
            "mcpgateway/services/permission_",
            "mcpgateway/services/role_",
            "mcpgateway/services/argon2_",
        ),
    ),
    Row(
        Category.LOGGING,
        (
            "logging/",
            "pythonjsonlogger/",
            "opentelemetry/",
            "prometheus_client/",
            "prometheus_fastapi_instrumentator/",
            "mcpgateway/observability",
            "mcpgateway/services/log",
            "mcpgateway/services/structured_log",
            "mcpgateway/services/audit_",
            "mcpgateway/services/metrics_buffer",
            "mcpgateway/services/observability",
        ),
    ),
    Row(
        Category.SERIALIZATION,
        (
            "json/",
            "orjson",
            "ujson",
            "msgpack",
            "pydantic/",
            "pydantic_core/",
            "jsonschema/",
            "Modules/_json.c",
            "fastapi/_compat",
            "fastapi/encoders.py",
            "starlette/responses.py",
            "mcpgateway/utils/orjson_response.py",
        ),
    ),
    Row(
        Category.DATABASE,
        (
            "sqlalchemy/",
            "sqlite3/",
            "aiosqlite/",
            "psycopg",
            "alembic/",
            "libsqlite3",
            "libpq",
            "Modules/_sqlite/",
            "mcpgateway/db.py",
            "mcpgateway/utils/pagination.py",
        ),
    ),
    Row(Category.CACHE, ("redis/", "hiredis", "mcpgateway/cache/", "mcpgateway/utils/redis_client.py", "cachetools/")),
    Row(
        Category.UPSTREAM,
        (
            "mcp/client/",
            "mcp/shared/",
            "httpx/",
            "httpcore/",
            "httpx_sse/",
            "h11/",
            "h2/",
            "aiohttp/",
            "mcpgateway/services/http_client_service.py",
            "mcpgateway/services/mcp_session_pool.py",
            "mcpgateway/services/upstream_",
        ),
    ),
    Row(
        Category.MIDDLEWARE, ("starlette/middleware/", "starlette_compress/", "mcpgateway/middleware/", "uvicorn/middl")
    ),
    Row(Category.MIDDLEWARE, ("mcpgateway/main.py",), r"\w*Middleware\..*"),
    Row(Category.ROUTING, ("fastapi/", "starlette/routing.py", "starlette/applications.py")),
    Row(Category.LOOP, ("uvicorn/", "httptools/")),
    Row(Category.GATEWAY, ("mcpgateway/",)),
)
"""The rows that decide first."""

SURROUNDING_ROWS = (
    Row(Category.ROUTING, ("starlette/",)),
    Row(Category.LOOP, ("uvloop/", "libuv/", "anyio/", "asyncio/", "Modules/_asynciomodule.c")),
)
"""The rows that decide if none of :data:`ROWS` matches."""


STARTING = (
    "click/",
    "bin/",
    "runpy.py",
    "threading.py",
    "multiprocessing/",
    "concurrent/futures/",
    "asyncio/",
    "uvloop/",
    "libuv/",
    "anyio/_core/_tasks.py",
    "anyio/_backends/_asyncio.py",
    "gunicorn/",
    "mcpgateway/cli.py",
    "uvicorn/main.py",
    "uvicorn/server.py",
    "uvicorn/_compat.py",
    "uvicorn/_subprocess.py",
    "Modules/_asynciomodule.c",
    "object.h",
    "libc.",
    "libpython",
)
"""Places of frames that start a thread or a task and carry no information about its work."""

_ALONE = 3


def without_start(stack: Stack) -> Stack:
    """Return a stack without its leading start-up frames; if only those exist, its innermost frames."""
    depth = 0
    while depth < len(stack) and stack[depth].place.startswith(STARTING) and not is_collector(stack[depth]):
        depth += 1
    return stack[depth:] or stack[-_ALONE:]


@lru_cache(maxsize=65_536)
def _row_of(frame: Frame, leaf: bool, surrounding: bool) -> Category | None:
    rows = SURROUNDING_ROWS if surrounding else ROWS
    return next((row.category for row in rows if (leaf or not row.leaf) and row.fits(frame)), None)


@lru_cache(maxsize=65_536)
def is_collector(frame: Frame) -> bool:
    """Return whether a frame belongs to the garbage collector."""
    return COLLECTOR.fits(frame)


def says_something(frame: Frame) -> bool:
    """Return whether a frame is Python's or the collector's; other compiled code is best named by its caller."""
    return is_python(frame) or is_collector(frame)


def owner(stack: Stack) -> Frame:
    """Return the frame that the time belongs to: the collector's if there is one, else the innermost Python frame."""
    for frame in stack:
        if is_collector(frame):
            return frame
    return next((frame for frame in reversed(stack) if is_python(frame)), stack[-1])


@lru_cache(maxsize=65_536)
def classify(stack: Stack) -> Category:
    """Return the category of a stack (outermost frame first); every stack has exactly one."""
    if any(is_collector(frame) for frame in stack):
        return Category.GC
    for surrounding in (False, True):
        for depth, frame in enumerate(reversed(stack)):
            found = _row_of(frame, depth == 0, surrounding)
            if found is not None:
                return found
    return Category.OTHER


def frame_category(frame: Frame) -> Category:
    """Return the category of a frame by itself, which is its colour in the flame graph."""
    return classify((frame,))


Classify = Callable[[Stack], Category]
