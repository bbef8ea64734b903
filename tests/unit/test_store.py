"""Documents: whole or not at all, and a clear line for a damaged one."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Literal

import pytest

from benchkit import store
from benchkit.errors import UserError
from benchkit.model import Model


class Note(Model):
    """A small document."""

    schema_version: Literal[1] = 1
    text: str
    figure: float | None = None


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_round_trip_and_absent_figures_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "with a space" / "note.json"
    path.parent.mkdir()
    store.save(path, Note(text="größer"))
    assert "figure" not in json.loads(path.read_text(encoding="utf-8"))
    assert store.load(path, Note, "note") == Note(text="größer")
    assert names(path.parent) == ["note.json"]


def test_mode_is_set_before_the_file_has_its_name(tmp_path: Path) -> None:
    store.save(tmp_path / "secret", Note(text="x"), mode=0o600)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_full_disk_leaves_the_old_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "note.json"
    store.save(path, Note(text="old"))

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"note\.json: cannot be written: No space left on device"):
        store.save(path, Note(text="new"))
    assert store.load(path, Note, "note").text == "old"
    assert names(tmp_path) == ["note.json"]


def test_a_missing_directory_is_a_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written: No such file or directory"):
        store.save(tmp_path / "nowhere" / "note.json", Note(text="x"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"{", "not JSON at line 1, column 2"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"schema_version": 1, "text": "x", "figure": NaN}', "holds NaN"),
        (b"[1]", "holds a list"),
        (b'{"text": "x"}', "schema_version null; this toolkit reads version 1"),
        (b'{"schema_version": 2, "text": "x"}', "schema_version 2; this toolkit reads version 1"),
        (b'{"schema_version": 1}', "text: Field required"),
        (b'{"schema_version": 1, "text": "x", "more": 1}', "more: Extra inputs"),
    ],
)
def test_a_damaged_document_is_one_line_and_stays_as_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "note.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        store.load(path, Note, "note")
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert path.read_bytes() == content


def test_a_document_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such note"):
        store.load(tmp_path / "note.json", Note, "note")


def test_infinity_is_a_bug_and_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        store.save(tmp_path / "note.json", Note(text="x", figure=float("inf")))
    assert names(tmp_path) == []


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_a_file_gets_what_the_umask_allows(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        store.write_text(tmp_path / "shared", "x")
        store.write_text(tmp_path / "private", "x", mode=0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600


def test_a_link_is_replaced_and_its_target_left(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    store.write_text(tmp_path / "link", "x")
    assert (tmp_path / "target").read_text(encoding="utf-8") == "precious"
    assert not (tmp_path / "link").is_symlink()
