"""Base class of all documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, ValidationInfo

from benchkit.model.upgrades import Upgrade

STORED = {"stored": True}
"""Validation context of a document that is read from a file: its values are then checked for plausibility too."""


def is_stored(info: ValidationInfo) -> bool:
    """Return whether a value comes from a stored document and not from this toolkit's own arithmetic."""
    return info.context is STORED


class Model(BaseModel):
    """Base class of all documents and their parts: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    OLDER: ClassVar[Mapping[int, Upgrade]] = {}
    """Maps each earlier schema version that can be read to the function that upgrades it to the next version."""
