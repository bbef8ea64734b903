"""What every page has: its title, its finding in one sentence, and how it is filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchkit.model import Tone
from benchkit.report.charts import Plots
from benchkit.report.render import PARTS, fill


@dataclass(frozen=True)
class Frame:  # pylint: disable=too-many-instance-attributes # one for each part
    """The head and the foot of a page.

    ``subject`` stands behind the title in the window's; ``started`` beside it on the page, with its form for programs.
    ``target`` says what was measured, where and how. ``word`` and ``sentence`` are what was found, with its ``tone``;
    ``facts`` are a few names with their figures.
    """

    title: str
    subject: str
    target: str = ""
    tone: Tone = Tone.PLAIN
    word: str = ""
    sentence: str = ""
    footer: str = ""
    notes: list[str] = field(default_factory=list)
    started: str = ""
    started_iso: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)


def fill_page(
    template: str | Path,
    frame: Frame,
    context: Mapping[str, object],
    plots: Plots,
    *,
    data: Mapping[str, object] | None = None,
    scripts: Sequence[str] = (),
    styles: Sequence[str] = (),
) -> str:
    """A page's HTML.

    Args:
        template: its name among the parts, or a file elsewhere.
        frame: what every page has.
        context: what else the template shows.
        plots: the page's charts.
        data: what its own scripts get beside the charts.
        scripts: names of its own scripts among the parts.
        styles: names of its own styles among the parts.

    Raises:
        UserError: the template is not there, cannot be read, or is not a template.
    """
    drawing = ["charts.js"] if plots.library.source else []
    return fill(
        PARTS / template,
        {"frame": frame, "charts_off": plots.library.off, **context},
        {**plots.data(), **(data or {})},
        [*drawing, *scripts, "page.js", "tools.js"],
        plots.library.source,
        styles=["tools.css", "pages.css", *styles],
    )
