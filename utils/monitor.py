"""Sample the resource use of a run: machine, gateway, MCP servers, databases, load generator, and this program itself.

It writes one line per second to FILE until the shell that leads the run ends, or it gets TERM. utils/lib/runner.sh
starts and stops it; users need not. With PERF_MONITOR=false nothing is sampled.

exit: 0 ended normally, or nothing is to be sampled; 2 it could not start, or not continue, and why
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path
from types import FrameType

import psutil

from benchkit.errors import ExitCode, UserError, run_program
from benchkit.monitor.processes import LoadFamily
from benchkit.monitor.sampler import Monitor
from benchkit.run.monitor_targets import finders, is_load
from benchkit.run.variants import Variants
from benchkit.settings import add_arguments, from_arguments
from benchkit.store import load

_LOOK_FOR_SHELL_S = 0.4


def main() -> ExitCode:
    """Sample until told to stop."""
    arguments = _arguments()
    settings = from_arguments(arguments)
    if not settings.config.performance.monitor:
        return ExitCode.OK
    # Ctrl-C reaches every process of the terminal. The shell decides how to react and sends TERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    # If HUP is ignored, nohup or the like decided so.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _end)
    threading.Thread(target=_end_with, args=(arguments.shell,), daemon=True).start()
    try:
        shell = psutil.Process(arguments.shell)
    except psutil.Error as error:
        raise UserError(f"--shell {arguments.shell}: there is no such process") from error
    variants = load(arguments.variants_file, Variants, "variants") if arguments.variants_file is not None else None
    monitor = Monitor(LoadFamily(shell, partial(is_load, shell)), finders(settings, variants))
    monitor.run(arguments.file)
    return ExitCode.OK


def _end(_signal: int, _frame: FrameType | None) -> None:
    """Exit at once: every line is written in one piece, so nothing is lost."""
    os._exit(ExitCode.OK)


def _end_with(shell: int) -> None:
    """Exit when the shell has ended for any reason."""
    while os.getppid() == shell:
        time.sleep(_LOOK_FOR_SHELL_S)
    os._exit(ExitCode.OK)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE", type=Path, help="takes the samples")
    parser.add_argument("--shell", metavar="PID", type=int, required=True, help="the shell that leads the run")
    parser.add_argument("--variants-file", metavar="FILE", type=Path, help="several gateways: where each one lies")
    add_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run_program(main)
