"""What every page but the run report's has: its title, its finding in one sentence, and how it is filled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchkit.model import Tone
from benchkit.report.plots import Plots
from benchkit.report.render import PARTS, fill


@dataclass(frozen=True)
class Frame:
    """The head and the foot of a page.

    ``subject`` stands behind the title in the window's; ``target`` says what was measured, where and how. ``word`` and
    ``sentence`` are what was found, with its ``tone``. ``charts_off`` says why there are no charts; empty when there
    are.
    """

    title: str
    subject: str
    target: str
    tone: Tone
    word: str
    sentence: str
    footer: str
    notes: list[str] = field(default_factory=list)
    charts_off: str = ""


def fill_page(
    template: str, frame: Frame, context: Mapping[str, object], plots: Plots, chart_library: str | None
) -> str:
    """A page's HTML; raises :class:`~benchkit.errors.UserError` as :func:`benchkit.report.render.fill`."""
    return fill(
        PARTS / template,
        {"frame": frame, **context},
        plots.data(),
        ["page.js", "pages.js", "tools.js"],
        chart_library,
        styles=["tools.css", "pages.css"],
    )
