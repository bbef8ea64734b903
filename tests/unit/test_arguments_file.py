"""What crosses to the shell for a load process: one line for each argument, or nothing at all."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchkit.errors import UserError
from benchkit.load.arguments_file import LoadProcess, remove_arguments, write_arguments
from benchkit.model import HttpRequest, Part, ServerCounter, forbidden_character, path_segment, path_segments

URL = "http://127.0.0.1:4444/rpc"


def process(run_dir: Path, *arguments: str, output: str = "raw/tools/call.1.csv") -> LoadProcess:
    return LoadProcess("hey", [*arguments, URL], run_dir / output)


def test_a_process_becomes_a_file_of_lines_that_only_its_owner_reads(tmp_path: Path) -> None:
    run_dir = tmp_path / "a run\nof two lines"
    run_dir.mkdir()
    first = process(run_dir, "-H", "Authorization: Bearer t", "-D", str(run_dir / "bodies" / "tools" / "call.1.json"))
    second = LoadProcess("sse", [URL], None)
    write_arguments(run_dir, [first, second])
    file = run_dir / ".load" / "1.args"
    assert file.read_text("utf-8").splitlines() == [
        "hey",
        "raw/tools/call.1.csv",
        "-H",
        "Authorization: Bearer t",
        "-D",
        "bodies/tools/call.1.json",
        URL,
    ]
    assert (run_dir / ".load" / "2.args").read_text("utf-8").splitlines() == ["sse", "none", URL]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    write_arguments(run_dir, [process(run_dir)])  # over what an interrupted step left
    remove_arguments(run_dir)
    assert not file.parent.exists()


@pytest.mark.parametrize("bad", ["\0", "\n", "\r", "\t", "\x1b[2J", "\x7f", "\x85", "\u2028", "\ud800"])
def test_one_argument_with_a_control_character_and_nothing_is_written(tmp_path: Path, bad: str) -> None:
    with pytest.raises(UserError, match="nothing was started") as caught:
        write_arguments(tmp_path, [process(tmp_path), process(tmp_path, "-H", f"Authorization: secret{bad}x")])
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("last", ["-o", "-cpus=1", "file:///etc/passwd", "", "http://", "http://u:p@host/", "//host/"])
def test_what_stands_where_the_address_belongs_is_an_address(tmp_path: Path, last: str) -> None:
    with pytest.raises(UserError, match="must be an address"):
        write_arguments(tmp_path, [LoadProcess("hey", ["-n", "1", last], None)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "output", ["../x.csv", "raw/../x.csv", "raw/tools/../../x.csv", "raw/tools/x.sh", "raw/tools/a b.csv", "x.csv"]
)
def test_the_load_writes_only_a_cases_rows(tmp_path: Path, output: str) -> None:
    with pytest.raises(UserError, match="no name of a case's rows"):
        write_arguments(tmp_path, [process(tmp_path, output=output)])
    with pytest.raises(UserError, match="no name of a case's rows"):
        write_arguments(tmp_path, [LoadProcess("hey", [URL], Path("/tmp/elsewhere.csv"))])


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / ".load").mkdir()
    target = tmp_path / "precious"
    target.write_text("x", encoding="utf-8")
    (tmp_path / ".load" / "1.args").symlink_to(target)
    write_arguments(tmp_path, [process(tmp_path)])
    assert target.read_text("utf-8") == "x"
    assert not (tmp_path / ".load" / "1.args").is_symlink()


@given(st.text())
def test_what_is_written_is_read_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    run_dir = tmp_path_factory.mktemp("run")
    if forbidden_character(text):
        with pytest.raises(UserError):
            write_arguments(run_dir, [process(run_dir, text)])
        return
    write_arguments(run_dir, [process(run_dir, text)])
    lines = (run_dir / ".load" / "1.args").read_bytes().split(b"\n")
    assert lines[2:] == [text.encode(), URL.encode(), b""]


# Documents


@pytest.mark.parametrize(
    "url",
    [
        "http://host/servers/x\0ok\0run/mcp",
        "http://host/a\nb",
        "http://host/\x1b]0;x\x07",
        "http://user:secret@host/",
        "http://secret@host/",
        "ftp://host/",
        "-o",
        "http://host/a b",
        "http://host:99999/",
        "http:///path",
        "http://good\\@evil/",
    ],
)
def test_a_plan_cannot_hold_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        HttpRequest(url=url)
    assert "secret" not in str(caught.value.errors(include_url=False, include_input=False)[0]["msg"])
    with pytest.raises(ValidationError):
        ServerCounter(url=url, key="k")


def test_a_plan_cannot_hold_a_servers_name_of_two_lines() -> None:
    with pytest.raises(ValidationError, match="control character"):
        Part(request=HttpRequest(url=URL), requests=1, concurrency=1, server="time1\nok")


@pytest.mark.parametrize(
    "url", ["http://[::1]:4444/x", "https://gateway.example/a%20b?limit=5", "http://größe.example/ü"]
)
def test_addresses_that_are_some(url: str) -> None:
    assert HttpRequest(url=url).url == url


@pytest.mark.parametrize(
    ("identity", "segment", "segments"),
    [
        ("6f9a", "6f9a", "6f9a"),
        ("time://time1/current/world", "time%3A%2F%2Ftime1%2Fcurrent%2Fworld", "time://time1/current/world"),
        ("a?b#c%d", "a%3Fb%23c%25d", "a%3Fb%23c%25d"),
        ("x\0\n\"' $(id)", "x%00%0A%22%27%20%24%28id%29", "x%00%0A%22%27%20%24%28id%29"),
        ("-o", "-o", "-o"),
    ],
)
def test_ids_are_percent_encoded(identity: str, segment: str, segments: str) -> None:
    assert path_segment(identity) == segment
    assert path_segments(identity) == segments


@pytest.mark.parametrize("identity", ["", ".", "..", "../x", "a/../../b"])
def test_an_id_that_would_lead_elsewhere_is_none(identity: str) -> None:
    with pytest.raises(ValueError, match="cannot be part of a URL"):
        path_segments(identity)
