"""The parts that all pages share: the title, the finding in one sentence, and the function that fills a template."""

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

    ``subject`` follows the title in the window's title; ``started`` follows it on the page, in readable and in machine
    form. ``target`` describes the gateway, the machine and the load. ``word`` and ``sentence`` are the finding, with
    its ``tone``; ``facts`` are a few names with their values.
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
    """Return a page's HTML.

    Args:
        template: its name in the templates directory, or a file elsewhere.
        frame: head and foot of the page.
        context: the other variables of the template.
        plots: the page's charts.
        data: data for the page's own scripts, in addition to the charts.
        scripts: file names of its own scripts.
        styles: file names of its own styles.

    Raises:
        UserError: the template is missing, cannot be read, or is not a template.
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
