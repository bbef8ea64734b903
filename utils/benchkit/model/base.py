"""What all documents are."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationInfo

STORED = {"stored": True}
"""The context in which a document is validated that somebody stored: then its figures have to be possible as well."""


def is_stored(info: ValidationInfo) -> bool:
    """Whether a value comes from a stored document, and not from this toolkit's own arithmetic."""
    return info.context is STORED


class Model(BaseModel):
    """Base of all documents and their parts: immutable, and a key that nobody knows is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
