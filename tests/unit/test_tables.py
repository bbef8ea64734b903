"""The tables of verdicts, validities and metrics: every row is there and complete, and no other table repeats them."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

import pytest

from benchkit.model import VALIDITIES, VERDICTS, Tone, Validity, Verdict
from benchkit.settings import ROOT

STATES = ("Verdict", "Validity")
SOURCES = [path for path in (ROOT / "utils").rglob("*.py") if path.parent.name != "model"]


def test_every_verdict_and_every_validity_has_a_row() -> None:
    assert list(VERDICTS) == list(Verdict)
    assert list(VALIDITIES) == list(Validity)


def test_every_row_is_complete() -> None:
    optional = {"annotation"}
    for row in (*VERDICTS.values(), *VALIDITIES.values()):
        for field in fields(row):
            value = getattr(row, field.name)
            assert value is not None
            assert value != "" or field.name in optional


def test_the_tables_agree_with_themselves() -> None:
    for verdict, row in VERDICTS.items():
        assert not row.is_change or row.is_judged, verdict
        assert row.fails == (row.ci.value == "failed"), verdict
        assert (row.tone is Tone.BAD) <= (row.exit_code != 0), verdict
    words = [row.headline for row in VERDICTS.values()]
    assert len(set(words)) == len(words)


def state(node: ast.expr | None) -> str:
    """``Verdict`` or ``Validity`` where an expression is a member of it, or its value."""
    if isinstance(node, ast.Attribute) and node.attr == "value":
        node = node.value
    is_member = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in STATES
    return ast.unparse(node) if is_member and node is not None else ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_has_a_table_of_verdicts_or_validities(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Dict):
            found = [state(key) for key in node.keys if state(key)]
            assert len(found) < 2, f"line {node.lineno}: a table by {', '.join(found)}; it belongs into benchkit/model"
        if isinstance(node, ast.Set | ast.Tuple | ast.List):
            found = [state(one) for one in node.elts if state(one)]
            assert len(found) < 3, f"line {node.lineno}: a list of {', '.join(found)}; make it a field of the row"
