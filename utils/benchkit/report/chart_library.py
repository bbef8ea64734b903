"""Chart.js, which every page with charts embeds."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from benchkit.errors import os_reason
from benchkit.settings import ROOT, Reporting

CHART_LIBRARY = ROOT / ".tools/chartjs/chart.umd.js"


@dataclass(frozen=True)
class ChartLibrary:
    """The source of Chart.js. If it is ``None``, ``off`` says why a page has no charts."""

    source: str | None = None
    off: str = ""


def chart_library(reporting: Reporting) -> ChartLibrary:
    """Return Chart.js, unless ``reporting.include_charts`` is off. A read error is also printed to stderr."""
    if not reporting.include_charts:
        return ChartLibrary(off="Charts are switched off (reporting.include_charts).")
    try:
        return ChartLibrary(CHART_LIBRARY.read_text(encoding="utf-8"))
    except FileNotFoundError:
        reason = "it is not installed"
    except (OSError, UnicodeDecodeError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else "it is damaged"
    message = f"This report has tables only: Chart.js cannot be read ({reason}). utils/setup.sh chartjs fetches it."
    print(f"warning: {message}", file=sys.stderr)
    return ChartLibrary(off=message)
