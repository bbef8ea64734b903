"""Remember INT, TERM and HUP, and act on them where it is safe."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Self

from benchkit.errors import ExitCode, UserError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupt:
    """Remembers the first signal that asked to stop.

    A handler that raises could do so after a process was started and before its pid is stored; then nothing would stop
    that process.
    """

    def __init__(self) -> None:
        self._received: signal.Signals | None = None

    def watch(self) -> Self:
        """Remember signals from now on instead of terminating."""
        for number in _SIGNALS:
            # nohup and similar tools set HUP to be ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._remember)
        return self

    def check(self) -> None:
        """Raise the error that ends the program if a signal arrived: exit 130 for INT, 143 for TERM and HUP."""
        if self._received is None:
            return
        code = ExitCode.INTERRUPTED if self._received is signal.SIGINT else ExitCode.TERMINATED
        raise UserError(f"interrupted ({self._received.name}): everything that was started is stopped", code)

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self._received = self._received or signal.Signals(number)
