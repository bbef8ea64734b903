"""What a program costs, in units that do not depend on the machine."""

from __future__ import annotations

import resource
import subprocess
import sys

_YARDSTICK = [sys.executable, "-Es", "-c", "import numpy, pydantic, yaml, jinja2"]


def processor_seconds(command: list[str]) -> float:
    """Processor time of a program that ends with 0; other programs stretch it less than its wall time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def relative_cost(command: list[str]) -> float:
    """Processor time in units of loading the libraries that nearly every program of the toolkit loads.

    The least of three: on a machine whose cores are shared, other work makes the same instructions take longer.
    """
    pairs = [(processor_seconds(command), processor_seconds(_YARDSTICK)) for _ in range(3)]
    return min(cost for cost, _ in pairs) / min(unit for _, unit in pairs)
