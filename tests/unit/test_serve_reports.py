"""The server of the reports, with real sockets: what it answers, what it never does, how it ends."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest

from benchkit.settings import ROOT
from serve_reports import find

PROGRAM = [sys.executable, str(ROOT / "utils" / "serve_reports.py")]


@dataclass(frozen=True)
class Site:
    """The server's port, and the path that all addresses begin with."""

    port: int
    prefix: str


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("place")
    root = place / "the results"
    for name in ("light_1", "a run #2", "empty"):
        (root / name).mkdir(parents=True)
    (root / "index.html").write_text("<!doctype html>index", "utf-8")
    (root / "light_1" / "report.html").write_text("<!doctype html>Ω", "utf-8")
    (root / "light_1" / "run.json").write_text("{}", "utf-8")
    (root / "light_1" / "hey.bin").write_bytes(b"\xff\x00")
    (root / "a run #2" / "summary.txt").write_text("<script>not run</script>", "utf-8")
    (root / ".history.sqlite").write_text("secret", "utf-8")
    (root / "latest").symlink_to("light_1")
    (place / "outside.txt").write_text("secret", "utf-8")
    (root / "out.txt").symlink_to(place / "outside.txt")
    (root / "up").symlink_to(place)
    (root / "round").symlink_to("round")
    (root / "hidden.txt").symlink_to(".history.sqlite")
    os.mkfifo(root / "pipe")
    return root


@pytest.fixture(scope="module")
def site(results: Path) -> Iterator[Site]:
    with served(results) as (process, site):
        yield site
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143


@contextlib.contextmanager
def served(results: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], Site]]:
    """The program, and the address that it prints."""
    command = [*PROGRAM, "--results-dir", str(results), "--port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("reports: http://127.0.0.1:")
            number, _, rest = line.partition("127.0.0.1:")[2].partition("/")
            yield process, Site(int(number), f"/{rest.partition('/ (')[0]}")
        finally:
            process.kill()


@dataclass(frozen=True)
class Answer:
    """What the server answered, read to its end."""

    status: int
    headers: Message
    body: bytes


def ask(site: Site, path: str, method: str = "GET", host: str | None = None, prefix: str | None = None) -> Answer:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)) as connection:
        before = site.prefix if prefix is None else prefix
        connection.putrequest(method, f"{before}{path}", skip_host=True)
        connection.putheader("Host", host or f"127.0.0.1:{site.port}")
        connection.endheaders()
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/index.html", "text/html; charset=utf-8", b"<!doctype html>index"),
        ("/light_1/report.html", "text/html; charset=utf-8", "<!doctype html>Ω".encode()),
        ("/latest/report.html?a=../b#c", "text/html; charset=utf-8", "<!doctype html>Ω".encode()),
        ("/light_1/run.json", "application/json; charset=utf-8", b"{}"),
        ("/a%20run%20%232/summary.txt", "text/plain; charset=utf-8", b"<script>not run</script>"),
        ("/light_1/hey.bin", "application/octet-stream", b"\xff\x00"),
    ],
)
def test_files_are_answered_as_what_they_are(site: Site, path: str, kind: str, body: bytes) -> None:
    answer = ask(site, path)
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, kind, body)
    head = ask(site, path, "HEAD")
    assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(body)), b"")


@pytest.mark.parametrize(
    ("path", "to"),
    [("/", "/index.html"), ("/light_1", "/light_1/report.html"), ("/latest/", "/latest/report.html")],
)
def test_a_directory_leads_to_its_page(site: Site, path: str, to: str) -> None:
    answer = ask(site, path)
    assert (answer.status, answer.headers["Location"]) == (302, f"{site.prefix}{to}")


@pytest.mark.parametrize(
    "path",
    [
        "/nothing.html",
        "/empty/",
        "/.history.sqlite",
        "/hidden.txt",
        "/out.txt",
        "/up/outside.txt",
        "/up/",
        "/round",
        "/pipe",
        "/../outside.txt",
        "/light_1/../../outside.txt",
        "/%2e%2e/outside.txt",
        "/..%2foutside.txt",
        "/light_1/%2e%2e/%2e%2e/outside.txt",
        "/..%5coutside.txt",
        "//etc/passwd",
        "/%00",
        f"/{'a' * 5000}",
        "http://127.0.0.1/../outside.txt",
        "*",
    ],
)
def test_nothing_else_is_there(site: Site, path: str) -> None:
    answer = ask(site, path)
    assert answer.status == 404
    assert b"secret" not in answer.body


@pytest.mark.parametrize("path", ["/", "/index.html", "/light_1/run.json", "//index.html", "*", "/?a=/index.html"])
@pytest.mark.parametrize("wrong", ["", "/wrong", "/%2e", "half", "longer", "upper"])
def test_without_the_random_path_nothing_is_there(site: Site, path: str, wrong: str) -> None:
    prefix = {
        "half": site.prefix[:-1],
        "longer": f"{site.prefix}x",
        "upper": site.prefix.swapcase(),
    }.get(wrong, wrong)
    answer = ask(site, path, prefix=prefix)
    assert answer.status == 404
    assert site.prefix.encode() not in answer.body
    assert answer.headers["Location"] is None


def test_the_random_path_is_long_and_another_one_each_time(site: Site, results: Path) -> None:
    with served(results) as (_, other):
        assert other.prefix != site.prefix
        assert len(site.prefix) >= 22
        assert ask(other, "/index.html", prefix=site.prefix).status == 404


def test_the_random_path_alone_leads_to_the_index(site: Site) -> None:
    assert ask(site, "").headers["Location"] == f"{site.prefix}/index.html"


@pytest.mark.parametrize("path", ["/index.html", "/nothing", "/"])
def test_every_answer_has_the_headers(site: Site, path: str) -> None:
    headers = ask(site, path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Python" not in headers["Server"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_nothing_can_be_changed(site: Site, method: str, results: Path) -> None:
    assert ask(site, "/index.html", method).status == 501
    assert (results / "index.html").read_text("utf-8") == "<!doctype html>index"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8099", "192.168.0.7", "localhost.evil.example", "[::1]"]
)
def test_another_name_is_refused(site: Site, host: str) -> None:
    assert ask(site, "/index.html", host=host).status == 421
    assert ask(site, "/index.html", host="localhost").status == 200


def test_only_this_machine_is_listened_to(site: Site) -> None:
    with socket.socket() as probe:
        probe.settimeout(5)
        # 127.0.0.2 is this machine as well: a server that listens on all addresses would answer there.
        assert probe.connect_ex(("127.0.0.2", site.port)) != 0


def test_a_reader_that_goes_away_harms_nobody(results: Path) -> None:
    (results / "large.txt").write_bytes(b"x" * 20_000_000)
    with served(results) as (process, site):
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", site.port)) as reader:
                reader.sendall(f"GET {site.prefix}/large.txt HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                reader.recv(100)
        assert ask(site, "/index.html").status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr is not None
        assert process.stderr.read().strip() == "stopped"


def test_a_port_that_is_taken_is_one_line(site: Site, results: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, "--port", str(site.port), "--results-dir", str(results)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"port {site.port} is taken" in done.stderr


@pytest.mark.parametrize("wrong", ["x", "-1", "65536", ""])
def test_a_wrong_port_is_one_line(results: Path, wrong: str) -> None:
    done = subprocess.run(
        [*PROGRAM, f"--port={wrong}", "--results-dir", str(results)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, f"error: PORT={wrong}: must be a port, like 8099\n")


def test_without_results_there_is_nothing_to_serve(tmp_path: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, "--results-dir", str(tmp_path / "none")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_path_is_found_below_its_root_only(results: Path) -> None:
    assert find(results.resolve(), "/light_1/run.json") == results.resolve() / "light_1" / "run.json"
    assert find(results.resolve(), "light_1/run.json") is None
