"""Interrupt runs at random moments and check that they leave nothing behind.

usage: benchmarks/interrupts.py [--count 20] [--seed 1203] [--stack] [--kinds INT,TERM,HUP,KILL]

Each run measures a stub gateway, or with --stack the toolkit's own stack, which the run starts itself. After a random
time it gets one of these signals:

  INT    Ctrl-C: to the process group, like a terminal
  TERM   to the runner
  HUP    a closed terminal: to the process group
  KILL   to one process of the run, or to all of them at once (the out-of-memory killer, a crash)

INT, TERM and HUP must end the run within 10 s, with 130 or 143, and leave nothing behind. After a KILL of the runner or
of all its processes, the next command (utils/results_index.py, and with --stack utils/stack.py down) must clean up: the
run is marked, its temporary files are removed, its stack is stopped. However a run ended, no document may be damaged,
none of its processes may run, and what it created on the gateway is removed, or named by the next command.

Prints one line per interrupt, and a summary; exit 1 if any failed. Every run has its own lock (PERF_LOCK), results and
ports, so real runs are not disturbed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))

# pylint: disable=import-error,wrong-import-position  # the line above must come first
from toolkit import Toolkit, left_behind, stack_ports, stub_gateway

WITHIN_S = 10.0
"""Time limit for a run to end after a signal, in seconds."""

AFTER_KILL_S = 20.0
"""How long a run may continue after one of its processes was killed, in seconds. If that was one load process of many,
the run continues, and then gets TERM.
"""

ORPHANS_S = 15.0
"""Time limit for the processes of a killed runner to exit, in seconds. Load processes end by themselves."""

LONGEST_WAIT_S = {"stub": 8.0, "stack": 45.0}
KINDS = {"INT": signal.SIGINT, "TERM": signal.SIGTERM, "HUP": signal.SIGHUP, "KILL": signal.SIGKILL}
_CODES = {signal.SIGINT: {130}, signal.SIGTERM: {143}, signal.SIGHUP: {143}}
_CODES_WITHOUT_ONE = {0, 2, 3, 137, 143}
"""Allowed exit codes of a run that lost one process: it continued, or said that it could not. Never a regression."""


@dataclass
class Try:
    """One run and the problems with its end. ``whom``: the killed process, for KILL."""

    kit: Toolkit
    flags: list[str]
    url: str
    number: signal.Signals
    after_s: float
    pick: random.Random
    own_stack: bool
    whom: str = ""
    problems: list[str] = field(default_factory=list)

    def go(self) -> None:
        """Start the run, interrupt it, and append what is wrong to ``problems``."""
        with self.kit.start("./run-configurable.sh", *self.flags) as run:
            time.sleep(self.after_s)
            if run.poll() is not None:
                self.problems.append(f"was over before: exit {run.returncode}: {_last(run.communicate()[1])}")
                return
            within_s, codes = self._interrupt(run)
            try:
                err = self._end_of(run, within_s)
            except subprocess.TimeoutExpired:
                self.problems.append(
                    f"still ran {within_s:g} s after {self.number.name} {self.whom}: {_running(run.pid)}"
                )
                os.killpg(run.pid, signal.SIGKILL)
                return
        if run.returncode not in codes:
            self.problems.append(f"exit {run.returncode}: {_last(err)}")
        if "Traceback" in err:
            self.problems.append(f"a traceback: {err[err.index('Traceback') :]}")
        self._look()

    def _end_of(self, run: subprocess.Popen[str], within_s: float) -> str:
        """Return a run's stderr; raises :class:`subprocess.TimeoutExpired` if the run does not end in time."""
        try:
            return run.communicate(timeout=within_s)[1]
        except subprocess.TimeoutExpired:
            if self.number is not signal.SIGKILL or run.poll() is not None:
                raise
            run.terminate()
            return run.communicate(timeout=WITHIN_S)[1]

    def _interrupt(self, run: subprocess.Popen[str]) -> tuple[float, set[int]]:
        """Send the signal; return the time limit for the end of the run, and its allowed exit codes."""
        if self.number is signal.SIGTERM:
            run.send_signal(self.number)
        elif self.number is not signal.SIGKILL:
            os.killpg(run.pid, self.number)
        else:
            return self._kill(run)
        return WITHIN_S, _CODES[self.number]

    def _kill(self, run: subprocess.Popen[str]) -> tuple[float, set[int]]:
        """Kill one process of the run's group, or all; return like :meth:`_interrupt`."""
        group = [one for one in psutil.process_iter() if _group(one.pid) == run.pid]
        victim = self.pick.choice([None, *sorted(group, key=lambda one: one.pid)])
        if victim is None:
            self.whom = "all"
            os.killpg(run.pid, signal.SIGKILL)
            return ORPHANS_S, {-9}
        self.whom = _name(victim)
        victim.kill()
        # A load process without its shell ends by itself, and keeps the run's output open until then.
        return AFTER_KILL_S, {-9} if victim.pid == run.pid else _CODES_WITHOUT_ONE

    def _look(self) -> None:
        place = self.kit.place
        said = self._next_command() if self.number is signal.SIGKILL else ""
        self.problems += [f"left behind: {command}" for command in _left(place)]
        self.problems += damaged(place, killed=self.number is signal.SIGKILL)
        self.problems += [f"left {path.name}" for path in (place / "tmp").glob("perf_test.*")]
        if not self.own_stack:
            left = left_on(self.url)
            if left and self.number is not signal.SIGKILL:
                self.problems.append(f"left on the gateway: {', '.join(left)}")
            elif left and (lost := [one for one in left if one not in said]):
                self.problems.append(f"left on the gateway and not named by the next command: {', '.join(lost)}")

    def _next_command(self) -> str:
        """Run the next command after a killed run; return its output."""
        # Processes that lost the shell exit soon; load processes run to their end.
        deadline = time.monotonic() + ORPHANS_S
        while _left(self.kit.place, own_stack=False) and time.monotonic() < deadline:
            time.sleep(0.2)
        done = self.kit.run(sys.executable, "utils/results_index.py")
        if done.returncode != 0:
            self.problems.append(f"the next command: exit {done.returncode}: {_last(done.stderr)}")
        if self.own_stack:
            self.kit.run(sys.executable, "utils/stack.py", "down")
        return done.stderr


def left_on(url: str) -> list[str]:
    """Return the ids of what a run created on the stub gateway and did not remove."""
    found = []
    for kind in ("servers", "prompts"):
        answer = requests.get(f"{url}/{kind}", headers={"Authorization": "Bearer x"}, timeout=5)
        found += [str(row["id"]) for row in answer.json()]
    return found


def damaged(place: Path, *, killed: bool) -> list[str]:
    """Return unreadable JSON documents, files that were not renamed, and runs that do not say how they ended.

    ``killed``: the run may have lost a process that it does not need, and so may be complete.
    """
    results = place / "results"
    problems = [f"left {path.name}" for path in results.rglob("*.tmp")]
    for path in results.rglob("*.json"):
        try:
            json.loads(path.read_text("utf-8"))
        except ValueError:
            problems.append(f"damaged: {path}")
    for plan in results.glob("*/plan.json"):
        run = plan.with_name("run.json")
        if plan.parent.is_symlink():
            continue
        if not run.exists():
            problems.append(f"no run.json next to {plan}")
        elif not killed and json.loads(run.read_text("utf-8"))["exit_code"] not in (130, 143):
            problems.append(f"{run} does not say that it was interrupted")
    if not killed and list((place / "baselines").glob("baseline_*.json")):
        problems.append("a baseline was written")
    return problems


def _left(place: Path, *, own_stack: bool = True) -> list[str]:
    """Return the command lines of a run's processes, without its stack if only the next command stops that."""
    return [line for line in left_behind(place) if own_stack or f"{place}/stack" not in line]


def _running(group: int) -> str:
    """Return the processes of a group, each with the kernel function in which it waits."""
    found = []
    for one in psutil.process_iter():
        if _group(one.pid) == group:
            with suppress(OSError):
                waits_for = Path(f"/proc/{one.pid}/wchan").read_text("ascii")
                found.append(f"{_name(one)} ({one.pid}) in {waits_for}")
    return ", ".join(found)


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


def _name(process: psutil.Process) -> str:
    try:
        words = [Path(word).name for word in process.cmdline()]
    except psutil.Error:
        return "a process"
    return next((word for word in words if word.endswith((".sh", ".py"))), words[0] if words else "a process")


def _last(text: str) -> str:
    return " ".join(text.strip().splitlines()[-1:])


def main() -> int:
    """Interrupt the runs, check them, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, metavar="N", help="number of runs (default: 20)")
    parser.add_argument("--seed", type=int, default=1203, help="seed of the random moments (default: 1203)")
    parser.add_argument("--stack", action="store_true", help="with the own stack instead of a stub gateway")
    parser.add_argument("--kinds", default=",".join(KINDS), metavar="NAME,NAME", help="some of INT, TERM, HUP, KILL")
    options = parser.parse_args()
    kinds = options.kinds.split(",")
    if not set(kinds) <= set(KINDS):
        parser.error(f"--kinds {options.kinds}: give some of {','.join(KINDS)}")
    moments = random.Random(options.seed)
    failed = 0
    for count in range(options.count):
        # In turns, so that even a few runs get each kind.
        number = KINDS[kinds[count % len(kinds)]]
        after_s = moments.uniform(0.3, LONGEST_WAIT_S["stack" if options.stack else "stub"])
        ports = stack_ports(2)
        gateway = nullcontext(ports["GATEWAY_URL"]) if options.stack else stub_gateway("none")
        with tempfile.TemporaryDirectory(prefix="interrupt ", ignore_cleanup_errors=True) as place, gateway as url:
            kit = Toolkit(Path(place), {"SCENARIOS": "tools", "PERF_REQUESTS": "2000", "GATEWAY": "external"})
            if options.stack:
                kit.environ |= {
                    **ports,
                    "GATEWAY": "local",
                    "PERF_SERVERS_COUNT": "2",
                    "PERF_STACK_DIR": f"{place}/stack",
                }
            one = Try(kit, ["--url", url], url, number, after_s, moments, options.stack)
            one.go()
            if options.stack and one.problems:
                # Do not leave the findings on the machine.
                kit.run(sys.executable, "utils/stack.py", "down")
            what = " ".join(filter(None, (number.name.removeprefix("SIG"), one.whom)))
            print(f"  {what:<24} after {after_s:5.2f} s: {'; '.join(one.problems) or 'ok'}", flush=True)
            failed += bool(one.problems)
    print(f"{options.count} interrupts, {failed} failed (seed {options.seed})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
