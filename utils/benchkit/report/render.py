"""Render a view as one HTML file that loads nothing: styles, scripts and data are embedded.

The page's content security policy (a CSP meta tag) lists the digest of each inline script and style. So no other script
can run, even if a name in a document contains one. Jinja escapes text in tables; charts get theirs from a JSON block.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError
from markupsafe import Markup

from benchkit.errors import UserError, os_reason

PARTS = Path(__file__).parent / "templates"

_UNSAFE_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def fill(
    template: Path,
    context: Mapping[str, object],
    data: Mapping[str, object],
    scripts: Sequence[str],
    chart_library: str | None,
    *,
    styles: Sequence[str],
) -> str:
    """Return a page's HTML.

    Args:
        template: the page's template; it includes files from the templates directory.
        context: the variables of the template.
        data: the data for the page's scripts.
        scripts: file names of its scripts, in the order in which they run.
        chart_library: the source of Chart.js; ``None`` for a page without charts.
        styles: file names of its styles; ``report.css`` comes first on every page and is not listed.

    Raises:
        UserError: the template is missing, cannot be read, or is not a template.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, PARTS]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    style = "\n".join((PARTS / name).read_text(encoding="utf-8") for name in ("report.css", *styles))
    sources = [_script((PARTS / name).read_text(encoding="utf-8")) for name in scripts]
    if chart_library is not None:
        sources.insert(0, _script(chart_library))
    try:
        source = template.read_text(encoding="utf-8")
        return environment.from_string(source).render(
            policy=_policy([style], sources),
            style=Markup(style),  # noqa: S704 - a file of the toolkit
            scripts=[Markup(source) for source in sources],  # noqa: S704 - files of the toolkit, and Chart.js
            data=Markup(_json_block(data)),  # noqa: S704 - escaped there
            **context,
        )
    except OSError as error:
        raise UserError(f"{template}: the report's template cannot be read: {os_reason(error)}") from error
    except TemplateError as error:
        raise UserError(f"{template}: the report's template does not work: {error}") from error


def _breakable(name: str) -> Markup:
    """Allow line breaks between the words of a name: ``call_<wbr>get_<wbr>system_<wbr>time``."""
    return Markup("<wbr>").join(re.split(r"(?<=[_/])", name))


def _json_block(data: object) -> str:
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[<>&\u2028\u2029]", lambda match: _UNSAFE_IN_SCRIPT[match.group()], text)


def _script(source: str) -> str:
    """Make JavaScript safe inside a script tag: nothing ends the tag early, and no source map is requested."""
    source = re.sub(r"^//# sourceMappingURL=.*$", "", source.replace("\r\n", "\n"), flags=re.MULTILINE)
    # Both sequences occur only in strings, templates, regexes or comments, where a backslash changes nothing.
    return re.sub(r"<(/script|!--)", r"<\\\1", source, flags=re.IGNORECASE)


def _policy(styles: list[str], scripts: list[str]) -> str:
    """Return the content security policy: only these styles and scripts apply, and nothing loads (CSP 3, 2.3.1)."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src {' '.join(map(_digest, styles))}",
            f"script-src {' '.join(map(_digest, scripts))}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
