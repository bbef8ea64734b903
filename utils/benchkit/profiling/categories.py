"""Which kind of work a stack is: a table of frames that decide, and the rule that picks one of them.

The rule: a frame of the garbage collector anywhere on the stack decides, since whatever runs below it runs for it. Else
the *innermost* frame that the table knows decides: a JSON decoder that SQLAlchemy calls is serialization, a list
comprehension in a middleware is that middleware's. What only helps (contextlib, typing, re) is in no row, so its time
is its caller's. Frames of the second table (event loop, frameworks) surround every request, so they decide only where
no frame of the first does. A stack that nothing decides is ``OTHER``.

To extend it: put a row into :data:`ROWS`; where two rows fit a frame the first one counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from benchkit.model.cpu_profile import Category
from benchkit.profiling.samples import Frame, Stack, is_python


@dataclass(frozen=True)
class Row:
    """A row of the table: a frame that fits decides for ``category``.

    ``places``: beginnings of the frame's path (see :func:`benchkit.profiling.samples.short_place`).
    ``functions``: a pattern for its whole name; with ``places`` both have to fit. ``leaf``: only the innermost frame.
    """

    category: Category
    places: tuple[str, ...] = ()
    functions: str = ""
    leaf: bool = False

    def fits(self, frame: Frame) -> bool:
        """Is the frame one of this row's?"""
        if self.places and not frame.place.startswith(self.places):
            return False
        return not self.functions or re.fullmatch(self.functions, frame.function) is not None


COLLECTOR = Row(
    Category.GC, functions=r"_?(Py)?gc_(collect|run)\w*|_?PyGC_Collect\w*|_Py_RunGC|collect_with_callback|collect_\w*gc"
)
"""The collector's frames. They have names only where the interpreter kept its symbols."""

ROWS = (
    # The interpreter's lock is the only thing that CPython waits for by this function of the C library.
    Row(
        Category.GIL, functions=r"take_gil|_?_?pthread_cond_timedwait|PyEval_(RestoreThread|AcquireThread|AcquireLock)"
    ),
    Row(Category.WAITING, functions=r"epoll_p?wait2?|kevent(64)?|PyThread_acquire_lock_timed|_?_?pthread_cond_wait"),
    Row(Category.WAITING, functions=r"(new_)?sem_(timed|clock)?wait|(clock_)?nanosleep"),
    Row(Category.WAITING, ("threading.py",), r"(\w+\.)?(wait|acquire|join|_wait_for_tstate_lock)"),
    Row(Category.WAITING, ("queue.py",), r"(\w+\.)?get"),
    Row(Category.WAITING, ("selectors.py",)),
    # Where nothing is known of compiled code, these are the innermost frames of a thread that has nothing to do.
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
"""What decides first."""

SURROUNDING_ROWS = (
    Row(Category.ROUTING, ("starlette/",)),
    Row(Category.LOOP, ("uvloop/", "libuv/", "anyio/", "asyncio/", "Modules/_asynciomodule.c")),
)
"""What decides where none of :data:`ROWS` does."""


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
"""Where frames come from that start a thread or a task and say nothing of the work in it."""

_ALONE = 3


def without_start(stack: Stack) -> Stack:
    """A stack from its first frame on that says something; of one that has none the innermost ones."""
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
    """Is it one of the garbage collector's own?"""
    return COLLECTOR.fits(frame)


def says_something(frame: Frame) -> bool:
    """A function of Python's, or the collector: other compiled code is named best by the function that called it."""
    return is_python(frame) or is_collector(frame)


def owner(stack: Stack) -> Frame:
    """Whose time it is: the collector's if it is on the stack, else the innermost function of Python's."""
    for frame in stack:
        if is_collector(frame):
            return frame
    return next((frame for frame in reversed(stack) if is_python(frame)), stack[-1])


@lru_cache(maxsize=65_536)
def classify(stack: Stack) -> Category:
    """The category of a stack (the outermost frame first): exactly one, whatever is on it."""
    if any(is_collector(frame) for frame in stack):
        return Category.GC
    for surrounding in (False, True):
        for depth, frame in enumerate(reversed(stack)):
            found = _row_of(frame, depth == 0, surrounding)
            if found is not None:
                return found
    return Category.OTHER


def frame_category(frame: Frame) -> Category:
    """The category that a frame decides for by itself: its colour in the flame graph."""
    return classify((frame,))


Classify = Callable[[Stack], Category]
