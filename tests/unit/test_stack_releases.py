"""Which release of the gateway the settings mean, and what a wheel or checkout says of itself."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchkit.errors import UserError
from benchkit.settings import GatewayStack
from benchkit.stack import releases


@pytest.fixture(name="place")
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toolkit with locks of 1.0.7, 1.0.10 and 1.1.0, and no gateway."""
    monkeypatch.setattr(releases, "LOCKS", tmp_path / "locks")
    monkeypatch.setattr(releases, "INSTALLATIONS", tmp_path / "gateway")
    (tmp_path / "locks").mkdir()
    for release in ("1.0.7", "1.1.0", "1.0.10", "1.2.0rc1"):
        (tmp_path / "locks" / f"{release}.lock").touch()
    return tmp_path


def install(place: Path, release: str, *parts: str) -> None:
    for part in parts or ("bin/python", ".setup-stamp"):
        file = place / "gateway" / release / part
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def wheel(path: Path, *times: tuple[int, int, int], metadata: str = "Name: g\n\n") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number, time in enumerate(times):
            archive.writestr(zipfile.ZipInfo(f"{number}.py", (*time, 0, 0, 0)), "")
        archive.writestr(zipfile.ZipInfo("g-1.dist-info/METADATA", (1980, 1, 1, 0, 0, 0)), metadata)
    return path


def test_newest_is_the_newest_tested_release_that_is_installed(place: Path) -> None:
    assert releases.tested_releases() == ["1.1.0", "1.0.10", "1.0.7"]
    install(place, "1.0.7")
    assert releases.wanted_release(GatewayStack()) == "1.0.7"
    install(place, "1.0.10")
    assert releases.wanted_release(GatewayStack()) == "1.0.10"
    install(place, "1.1.0", "bin/python")  # half an installation
    install(place, "2.0.0")  # not tested
    assert releases.wanted_release(GatewayStack()) == "1.0.10"
    assert releases.installation_name(GatewayStack()) == "1.0.10"


def test_an_environment_whose_python_is_gone_is_not_installed(place: Path) -> None:
    install(place, "1.1.0")
    python = place / "gateway" / "1.1.0" / "bin" / "python"
    python.unlink()
    python.symlink_to(place / "gone")
    install(place, "1.0.7")
    assert releases.wanted_release(GatewayStack()) == "1.0.7"


def test_no_tested_release_is_installed(place: Path) -> None:
    with pytest.raises(UserError, match=r"no release of the gateway is installed in .*gateway: run make setup"):
        releases.wanted_release(GatewayStack())
    assert releases.wanted_release(GatewayStack(version="0.9.0")) == "0.9.0"
    assert place.exists()


@pytest.mark.parametrize("version", ["latest", "1.0 7", ">=1", "../x", "1.0.7\n", "", "१.0"])
def test_what_is_no_release(version: str) -> None:
    with pytest.raises(ValidationError, match="is not a version"):
        GatewayStack(version=version)


@pytest.mark.parametrize(
    ("times", "day"),
    [
        ([(2026, 1, 2), (2025, 12, 31)], "2026-01-02"),
        ([(1980, 1, 1)], ""),
        ([(2020, 2, 2), (1980, 1, 1)], ""),
        ([(2100, 1, 1)], ""),  # a clock that was wrong
        ([(1980, 0, 0), (2026, 1, 2)], "2026-01-02"),
        ([], ""),
    ],
)
def test_the_day_of_a_wheel_is_that_of_its_newest_file(
    tmp_path: Path, times: list[tuple[int, int, int]], day: str
) -> None:
    assert releases.wheel_day(wheel(tmp_path / "g-1-py3-none-any.whl", *times)) == day


def test_a_checkout_has_no_day(tmp_path: Path) -> None:
    assert releases.wheel_day(tmp_path) == ""
    assert releases.wheel_day(tmp_path / "nowhere.whl") == ""


def test_the_pythons_that_a_wheel_or_checkout_allows(tmp_path: Path) -> None:
    metadata = "Name: g\nRequires-Python: <3.14,>=3.12\n\nRequires-Python: of its description\n"
    assert releases.required_python(wheel(tmp_path / "a.whl", metadata=metadata)) == "<3.14,>=3.12"
    assert releases.required_python(wheel(tmp_path / "b.whl")) == ""
    assert releases.required_python(tmp_path) == ""
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\nrequires-python = ">=3.12"\n', encoding="utf-8")
    assert releases.required_python(tmp_path) == ">=3.12"
    project.write_text("project = 1\n", encoding="utf-8")
    assert releases.required_python(tmp_path) == ""


@pytest.mark.parametrize("content", [b"no archive", b"", b"PK\x03\x04 and no more"])
def test_a_file_that_is_no_wheel(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "g-1-py3-none-any.whl"
    path.write_bytes(content)
    for read in (releases.wheel_day, releases.required_python):
        with pytest.raises(UserError, match=r"g-1-py3-none-any\.whl: is no wheel"):
            read(path)


@pytest.mark.parametrize("content", [b"[project", b"\xff"])
def test_a_project_file_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pyproject.toml").write_bytes(content)
    with pytest.raises(UserError, match=r"pyproject\.toml: is no TOML"):
        releases.required_python(tmp_path)


def test_a_home_directory_of_nobody() -> None:
    with pytest.raises(UserError, match="GATEWAY_SOURCE"):
        releases.source_path("~nobody-of-that-name/gateway")


def test_an_installation_says_which_python_and_packages_it_has(place: Path) -> None:
    install(place, "1.1.0", "pyvenv.cfg", ".setup-stamp")
    assert (releases.python_of("1.1.0"), releases.packages_of("1.1.0")) == (None, None)
    directory = place / "gateway" / "1.1.0"
    (directory / "pyvenv.cfg").write_text("home = /x\nuv = 0.13.9\nversion_info = 3.13.0\n", encoding="utf-8")
    (directory / ".setup-stamp").write_text(
        f"a==1.1.0 at /x\npackages committed\nsha256 {'0a' * 32}\n", encoding="utf-8"
    )
    assert (releases.python_of("1.1.0"), releases.packages_of("1.1.0")) == ("3.13.0", "0a0a0a0a0a0a")
    assert (releases.python_of("nowhere"), releases.packages_of("nowhere")) == (None, None)
