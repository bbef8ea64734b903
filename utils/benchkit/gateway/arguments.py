"""Arguments of a tool call, held against the tool's input schema before any load is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import Draft202012Validator, validator_for


def problem_of(schema: dict[str, Any], arguments: Mapping[str, Any]) -> str:
    """Why a schema refuses arguments: argument and rule, in words; empty when it takes them."""
    validator = validator_for(schema, default=Draft202012Validator)
    try:
        validator.check_schema(schema)
    except SchemaError as error:
        return f"the tool's own input schema is wrong: {error.message}"
    problem = best_match(validator(schema).iter_errors(arguments))
    return "" if problem is None else _words(problem)


def _words(error: ValidationError) -> str:
    where = ".".join(str(part) for part in error.absolute_path)
    return f"{where + ': ' if where else ''}{error.message} (rule: {error.validator})"
