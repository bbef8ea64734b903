"""Write the samples to a file."""

from __future__ import annotations

import os
from pathlib import Path

from benchkit.errors import UserError, os_reason
from benchkit.model import Model


class Recorder:
    """A file of lines. Each line is written immediately and completely, so that a killed run keeps its samples."""

    def __init__(self, path: Path) -> None:
        try:
            self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {os_reason(error)}") from error
        self._path = path

    def write(self, line: Model) -> None:
        """Append a line.

        Raises:
            UserError: the disk is full.
        """
        data = (line.model_dump_json(exclude_none=True) + "\n").encode()
        try:
            os.write(self.descriptor, data)
        except OSError as error:
            raise UserError(f"{self._path}: cannot be written: {os_reason(error)}") from error
