"""What all documents are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, ValidationInfo

from benchkit.model.upgrades import Upgrade

STORED = {"stored": True}
"""The context in which a document is validated that somebody stored: then its figures have to be possible as well."""


def is_stored(info: ValidationInfo) -> bool:
    """Whether a value comes from a stored document, and not from this toolkit's own arithmetic."""
    return info.context is STORED


class Model(BaseModel):
    """Base of all documents and their parts: immutable, and a key that nobody knows is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    OLDER: ClassVar[Mapping[int, Upgrade]] = {}
    """The earlier schema versions of a document that can be read, each with what makes the next version of it."""
