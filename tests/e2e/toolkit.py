"""Run the toolkit as its users do, with results, baselines, token and lock in a directory of the test's own."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
TESTED_RELEASE = "1.0.7"
"""The gateway of the tests: every Python of the toolkit can run it, and it starts in a third of 1.1.0's time."""

STUB = Path(__file__).with_name("stub_gateway.py")


def free_port(count: int = 1) -> int:
    """The first of so many ports of 127.0.0.1 in a row that nobody has; below those that outgoing connections take."""
    while True:
        first = random.randrange(20_000, 32_000)
        if all(_is_free(port) for port in range(first, first + count)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def stack_ports(servers: int) -> dict[str, str]:
    """Settings that give a stack ports of its own."""
    first = free_port(servers + 1)
    return {"GATEWAY_URL": f"http://127.0.0.1:{first}", "PERF_FIRST_SERVER_PORT": str(first + 1)}


@contextmanager
def stub_gateway(fault: str) -> Iterator[str]:
    """A stub with a fault; answers its address."""
    port = free_port()
    with subprocess.Popen([sys.executable, str(STUB), str(port), fault]) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + 10
            while True:
                try:
                    urllib.request.urlopen(f"{url}/health", timeout=1)
                    break
                except (urllib.error.URLError, ConnectionError):
                    assert time.monotonic() < deadline, "the stub did not start"
                    time.sleep(0.05)
            yield url
        finally:
            process.kill()


@dataclass
class Toolkit:
    """A place for one test, and the environment of its calls."""

    place: Path
    environ: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """The environment of a call: the user's own, less what would point elsewhere."""
        for name in ("tmp", "results", "baselines"):
            (self.place / name).mkdir(parents=True, exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PERF_", "GATEWAY", "PROFILE", "SCENARIOS"))}
        return {
            **kept,
            "PERF_PYTHON": sys.executable,
            "RESULTS_DIR": str(self.place / "results"),
            "BASELINES_DIR": str(self.place / "baselines"),
            "TMPDIR": str(self.place / "tmp"),
            "PERF_LOCK": str(self.place),
            "PERF_TOKEN_CACHE": str(self.place / "token"),
            "PERF_OPEN_BROWSER": "false",
            "GATEWAY_VERSION": TESTED_RELEASE,
            **self.environ,
        }

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a program of the checkout."""
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a program of the checkout to its end."""
        with self.start(*command) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(list(command), process.returncode, out, err)

    def measure(self, *flags: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run scenarios."""
        return self.run("./run-configurable.sh", "--no-report", *flags, timeout=timeout)

    def run_dirs(self) -> list[Path]:
        """All runs, oldest first."""
        return sorted(path for path in (self.place / "results").iterdir() if path.is_dir() and not path.is_symlink())

    def document(self, name: str = "run.json") -> dict[str, Any]:
        """A document of the newest run."""
        data: dict[str, Any] = json.loads((self.run_dirs()[-1] / name).read_text("utf-8"))
        return data

    def case(self, case_id: str) -> dict[str, Any]:
        """A case of the newest run."""
        return next(case for case in self.document()["cases"] if case["id"] == case_id)


def left_behind(place: Path) -> list[str]:
    """Command lines of processes that still have something to do with a test's place: by words, environment, or cwd."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ", "cwd"]):
        words = process.info["cmdline"] or []
        told = [*words, (process.info["environ"] or {}).get("RESULTS_DIR", ""), process.info["cwd"] or ""]
        if process.pid != os.getpid() and any(str(place) in word for word in told):
            found.append(" ".join(words))
    return found
