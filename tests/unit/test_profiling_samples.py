"""Reading traces, the kinds of work, and adding up."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.errors import UserError
from benchkit.model.cpu_profile import IDLE, LABELS, Category, Flame
from benchkit.profiling import folding
from benchkit.profiling.categories import ROWS, classify, owner, without_start
from benchkit.profiling.samples import UNKNOWN, Frame, Stack, Thread, clipped, parse_trace, read_trace, short_place
from builders.cpu_profiles import COLLECT, ENDPOINT, FIXTURE, LOOP, POLL, QUERY, thread

TRACE = next(FIXTURE.rglob("*.trace.json.gz"))


def event(phase: str, ts: int, name: str, file: str = "", line: int = 0, tid: int = 1) -> dict[str, Any]:
    return {"ph": phase, "ts": ts, "tid": tid, "pid": 7, "name": name, "args": {"filename": file, "line": line}}


# --- traces ----------------------------------------------------------------------------------------------------------


def test_what_lies_between_two_moments_is_one_stack() -> None:
    threads = parse_trace(
        [
            event("B", 1000, "thread (12): MainThread"),
            event("B", 1000, "outer", "/x/site-packages/mcpgateway/main.py", 3),
            event("B", 21000, "inner", "/x/lib/python3.11/json/decoder.py", 9),
            event("E", 41000, "inner", "/x/lib/python3.11/json/decoder.py", 9),
            event("E", 61000, "outer", "/x/site-packages/mcpgateway/main.py", 3),
            event("E", 61000, "thread (12): MainThread"),
        ]
    )
    outer, inner = Frame("outer", "mcpgateway/main.py", 3), Frame("inner", "json/decoder.py", 9)
    assert threads == [thread((0.001, 0.021, (outer,)), (0.021, 0.041, (outer, inner)), (0.041, 0.061, (outer,)))]


def test_newer_releases_name_threads_in_an_event_of_its_own() -> None:
    name = {"ph": "M", "ts": 0, "tid": 1, "pid": 7, "name": "thread_name", "args": {"name": "140265: MainThread"}}
    threads = parse_trace([name, event("B", 0, "f", "a/b.py", 1), event("E", 500, "f", "a/b.py", 1)])
    assert [one.name for one in threads] == ["MainThread"]


def test_code_without_symbols_is_one_frame_of_its_library() -> None:
    library = "/usr/lib/x86_64-linux-gnu/libz.so.1"
    opened = [event("B", 0, name, library) for name in ("0x7f01", "0x7f02", "deflate", "0x7f03")]
    closed = [event("E", 10, one["name"], library) for one in reversed(opened)]
    (one,) = parse_trace([*opened, *closed])
    assert [frame.function for frame in one.slices[0].stack] == [UNKNOWN, "deflate", UNKNOWN]


@pytest.mark.parametrize(
    ("file", "place"),
    [
        ("/srv/me/.tools/gateway/1.0.7/lib/python3.11/site-packages/mcpgateway/db.py", "mcpgateway/db.py"),
        ("/home/me/.pyenv/versions/3.11.7/lib/python3.11/asyncio/runners.py", "asyncio/runners.py"),
        ("/home/me/lib/libpython3.11.so.1.0", "libpython3.11.so.1.0"),
        ("/tmp/build.123/Python-3.11.7/Modules/_json.c", "Modules/_json.c"),
        ("/project/build/libuv-x86_64/src/unix/linux.c", "libuv/linux.c"),
        ("/project/uvloop/loop.c", "uvloop/loop.c"),
        ("/home/me/secret/plugin.py", "secret/plugin.py"),
        ("<string>", "<string>"),
        ("", ""),
    ],
)
def test_no_path_of_a_machine(file: str, place: str) -> None:
    assert short_place(file) == place


def test_a_recorded_trace() -> None:
    threads = read_trace(TRACE)
    main = next(one for one in threads if one.name == "MainThread")
    assert all(before.end_s <= after.start_s for before, after in zip(main.slices, main.slices[1:], strict=False))
    assert any(COLLECT in piece.stack for piece in main.slices)
    places = {frame.place for one in threads for piece in one.slices for frame in piece.stack}
    assert not [place for place in places if place.startswith("/")]


@pytest.mark.parametrize(
    "data",
    # Without the time of its making, by which the name of a test would differ between two processes of pytest.
    [b"", b"no gzip", gzip.compress(b"[{", mtime=0), gzip.compress(b'[{"ph": "B"}]', mtime=0)],
    ids=["empty", "no gzip", "no JSON", "no begin"],
)
def test_a_damaged_trace_is_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(data)
    with pytest.raises(UserError, match="the samples"):
        read_trace(path)


def test_clipping_keeps_what_lies_within() -> None:
    (one,) = clipped([thread((0.0, 1.0, (LOOP,)), (1.0, 3.0, (QUERY,)))], 0.5, 2.0)
    assert [(piece.start_s, piece.end_s) for piece in one.slices] == [(0.5, 1.0), (1.0, 2.0)]


# --- kinds of work ---------------------------------------------------------------------------------------------------

START = (Frame("Runner.run", "asyncio/runners.py", 118), Frame("uv_run", "libuv/core.c", 452))
STARLETTE = Frame("BaseHTTPMiddleware.__call__", "starlette/middleware/base.py", 193)


@pytest.mark.parametrize(
    ("inner", "category"),
    [
        ([STARLETTE, ENDPOINT, QUERY], Category.DATABASE),
        ([STARLETTE, ENDPOINT, QUERY, Frame("loads", "json/__init__.py", 346)], Category.SERIALIZATION),
        ([STARLETTE, ENDPOINT, QUERY, COLLECT], Category.GC),
        ([STARLETTE, ENDPOINT, COLLECT, Frame("__del__", "sqlalchemy/pool.py", 5)], Category.GC),
        ([STARLETTE, Frame("helper", "contextlib.py", 5)], Category.MIDDLEWARE),
        ([STARLETTE, Frame("TaskGroup.__aenter__", "anyio/_backends/_asyncio.py", 7)], Category.MIDDLEWARE),
        (
            [STARLETTE, Frame("TokenScopingMiddleware.__call__", "mcpgateway/middleware/token_scoping.py", 7)],
            Category.AUTH,
        ),
        ([Frame("MCPPathRewriteMiddleware.__call__", "mcpgateway/main.py", 3144)], Category.MIDDLEWARE),
        ([ENDPOINT], Category.GATEWAY),
        (
            [ENDPOINT, Frame("AsyncClient.__init__", "httpx/_client.py", 1402), Frame("f", "ssl.py", 7)],
            Category.UPSTREAM,
        ),
        ([ENDPOINT, Frame("decode", "jwt/api_jwt.py", 3), Frame(UNKNOWN, "libcrypto.so.3", 0)], Category.AUTH),
        ([ENDPOINT, Frame("get", "redis/asyncio/client.py", 3)], Category.CACHE),
        ([ENDPOINT, Frame("info", "logging/__init__.py", 3)], Category.LOGGING),
        ([Frame("solve_dependencies", "fastapi/dependencies/utils.py", 3)], Category.ROUTING),
        ([Frame("UVStream__try_write", "uvloop/loop.c", 3), Frame("write", "libc.so.6", 0)], Category.LOOP),
        ([POLL], Category.WAITING),
        ([Frame("Condition.wait", "threading.py", 327)], Category.WAITING),
        ([Frame("Condition.notify", "threading.py", 382)], Category.LOOP),
        ([QUERY, Frame("pthread_cond_timedwait", "libc.so.6", 0), Frame(UNKNOWN, "libc.so.6", 0)], Category.GIL),
    ],
)
def test_the_innermost_frame_that_decides(inner: list[Frame], category: Category) -> None:
    assert classify((*START, *inner)) is category


def test_a_loop_that_is_seen_from_outside_only_waits() -> None:
    assert classify((LOOP,)) is Category.WAITING


def test_a_stack_of_nothing_known_is_the_rest() -> None:
    assert classify((Frame("f", "somewhere/else.py", 1),)) is Category.OTHER


def test_every_category_has_a_name_and_a_row() -> None:
    assert set(LABELS) == set(Category)
    decided = {row.category for row in ROWS} | {Category.GC, Category.OTHER}
    assert decided >= set(Category) - {Category.LOOP}


def test_time_belongs_to_the_function_that_called_compiled_code() -> None:
    assert owner((*START, QUERY, Frame(UNKNOWN, "libsqlite3.so.0", 0))) == QUERY
    assert owner((*START, QUERY, COLLECT, Frame("traverse", "uvloop/loop.c", 3))) == COLLECT
    assert owner((POLL,)) == POLL


def test_what_starts_a_task_says_nothing() -> None:
    assert without_start((*START, STARLETTE, ENDPOINT)) == (STARLETTE, ENDPOINT)
    assert without_start((*START, COLLECT)) == (COLLECT,)
    assert without_start(START) == START


# --- adding up -------------------------------------------------------------------------------------------------------

FRAMES = [LOOP, ENDPOINT, QUERY, COLLECT, POLL, STARLETTE, Frame("<lambda>", "<string>", 1)]
stacks = st.lists(st.sampled_from(FRAMES), min_size=1, max_size=6).map(tuple)


@st.composite
def some_threads(draw: st.DrawFn) -> list[Thread]:
    """Threads whose slices last from 1 to 500 ms."""
    threads = []
    for pieces in draw(st.lists(st.lists(st.tuples(stacks, st.integers(1, 500)), max_size=12), max_size=3)):
        at, found = 0.0, []
        for stack, ms in pieces:
            found.append((at, at + ms / 1000, stack))
            at += ms / 1000
        threads.append(thread(*found))
    return threads


def seconds(threads: Sequence[Thread]) -> float:
    return sum(piece.seconds for one in threads for piece in one.slices)


@given(some_threads())
def test_every_second_is_of_one_category(threads: list[Thread]) -> None:
    assert sum(folding.category_seconds(threads).values()) == pytest.approx(seconds(threads))
    shares = [one.share for one in folding.category_times(threads) if one.share is not None]
    assert not shares or sum(shares) == pytest.approx(1.0, abs=1e-4)


@given(some_threads())
def test_work_is_what_is_not_idle(threads: list[Thread]) -> None:
    spent = folding.category_seconds(threads)
    work = sum(value for category, value in spent.items() if category not in IDLE)
    assert seconds(folding.working(threads)) == pytest.approx(work)


def children(flame: Flame) -> dict[int, float]:
    """Node to the sum of its children; -1 for the whole."""
    sums: dict[int, float] = {}
    path: list[int] = []
    for number, node in enumerate(flame.nodes):
        assert node.depth <= len(path), "a node is one level below its caller"
        path = [*path[: node.depth], number]
        above = path[-2] if node.depth else -1
        sums[above] = sums.get(above, 0.0) + node.ms
    return sums


@given(some_threads(), st.sampled_from([0.0, 0.01, 0.3]))
def test_folding_conserves_time(threads: list[Thread], smallest: float) -> None:
    work = folding.working(threads)
    flame = folding.flame(work, folding.Names(threads), smallest)
    assert flame.total_ms == pytest.approx(1000 * seconds(work), abs=0.01)
    sums = children(flame)
    assert sums.pop(-1, 0.0) == pytest.approx(flame.total_ms, abs=0.1)
    for number, total in sums.items():
        assert total <= flame.nodes[number].ms + 0.1
    drawn = [node for node in flame.nodes if node.frame != folding.FOLDED]
    assert all(node.ms >= smallest * flame.total_ms - 0.01 for node in drawn)


@given(some_threads())
def test_own_times_add_up_to_the_work(threads: list[Thread]) -> None:
    work = folding.working(threads)
    found = folding.function_times(work, folding.Names(threads))
    assert sum(one.self_s for one in found) == pytest.approx(seconds(work), abs=1e-4)
    assert all(one.self_s <= one.total_s + 1e-9 for one in found)


def test_a_function_is_named_with_the_line_that_took_longest() -> None:
    other = QUERY._replace(line=1)
    names = folding.Names([thread((0.0, 1.0, (QUERY,)), (1.0, 3.0, (other,)))])
    assert names.of(folding.function_of(QUERY)).line == 1


def test_a_deep_stack_is_no_problem() -> None:
    deep: Stack = tuple(Frame(f"f{number}", "mcpgateway/x.py", 1) for number in range(3000))
    threads = [thread((0.0, 1.0, deep))]
    assert len(folding.flame(threads, folding.Names(threads)).nodes) == 3000


def test_the_fixture_is_what_it_says() -> None:
    """Made from a real run: the file beside it says how."""
    plan = json.loads((FIXTURE / "plan.json").read_text("utf-8"))
    assert plan["command"] in (FIXTURE.parent / "make.py").read_text("utf-8")
