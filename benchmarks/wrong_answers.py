#!/usr/bin/env python3
"""Check that wrong responses among correct ones are found without counters, and that correct ones are accepted.

Runs the scenario "tools" (three rounds of 100) several times against a stub gateway without counters, with each of:

  rpc-error-tenth  every tenth response to tools/call is a JSON-RPC error with HTTP 200
  rpc-error-some   a random tenth of them is
  none             none is

Prints for each how many runs marked every case with tools/call as invalid, and how many marked any case as invalid.

exit: 0 if all runs of the first two mark every such case, and no run of the third marks any case; 1 otherwise
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))

# pylint: disable=import-error,wrong-import-position  # the line above must come first
from toolkit import Toolkit, stub_gateway

FAULTS = ("rpc-error-tenth", "rpc-error-some", "none")


def main() -> int:
    """Run, count, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="runs of each kind (20)")
    arguments = parser.parse_args()
    good = True
    for fault in FAULTS:
        seen = [_run(fault) for _ in range(arguments.runs)]
        found, any_invalid = (sum(one[place] for one in seen) for place in (0, 1))
        print(
            f"{fault:<16} {len(seen)} runs: all calls invalid in {found}, any case invalid in {any_invalid}", flush=True
        )
        good = good and (any_invalid == 0 if fault == "none" else found == len(seen))
    return 0 if good else 1


def _run(fault: str) -> tuple[bool, bool]:
    """Return whether a run marked all cases with tools/call as invalid, and whether it marked any case as invalid."""
    with tempfile.TemporaryDirectory(prefix="wrong answers ") as place, stub_gateway(fault) as url:
        kit = Toolkit(Path(place), {"GATEWAY": "external", "GATEWAY_PASSWORD": "x"})
        done = kit.measure(
            "--url", url, "--scenarios", "tools", "--requests", "100", "--iterations", "3", "--baseline", "skip"
        )
        if done.returncode not in (0, 3):
            sys.exit(done.stderr)
        cases = [case for case in kit.document()["cases"] if case["validity"] != "skipped"]
    calls = [case["validity"] == "invalid" for case in cases if case["name"].startswith("call")]
    if not calls:
        sys.exit("no case of the run calls a tool")
    return all(calls), any(case["validity"] == "invalid" for case in cases)


if __name__ == "__main__":
    sys.exit(main())
