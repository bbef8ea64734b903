"""What the monitor writes."""

from __future__ import annotations

from pathlib import Path

from benchkit.model import (
    MonitoredComponent,
    MonitorHeader,
    MonitorSample,
)

MACHINE = MonitoredComponent(name="machine", kind="machine", source="system")


GENERATOR = MonitoredComponent(name="load generator", kind="generator", source="process")


GATEWAY = MonitoredComponent(name="gateway", kind="gateway", source="process")


def write(path: Path, *lines: MonitorHeader | MonitorSample | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(line if isinstance(line, str) else line.model_dump_json(exclude_none=True) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
