"""Chart.js, which every page carries inside."""

from __future__ import annotations

import sys

from benchkit.errors import os_reason
from benchkit.settings import ROOT

CHART_LIBRARY = ROOT / ".tools/chartjs/chart.umd.js"


def read_chart_library() -> tuple[str | None, str]:
    """The source of Chart.js, or ``None`` and why there is none; then a warning goes to stderr too."""
    try:
        return CHART_LIBRARY.read_text(encoding="utf-8"), ""
    except FileNotFoundError:
        reason = "it is not installed"
    except (OSError, UnicodeDecodeError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else "it is damaged"
    message = f"This report has tables only: Chart.js cannot be read ({reason}). utils/setup.sh chartjs fetches it."
    print(f"warning: {message}", file=sys.stderr)
    return None, message
