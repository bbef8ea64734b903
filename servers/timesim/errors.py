"""Errors that a user of the server causes: on the command line, or in a request."""


class UserError(Exception):
    """The server cannot start as it was asked to: one sentence saying what is wrong and what to do."""


class BadRequestError(Exception):
    """A client asked for something that cannot be answered: says what is wrong and what would be right."""


class DatabaseError(Exception):
    """The database did not answer a query: says why, in one line."""


def quoted(value: object, limit: int = 80) -> str:
    """Return a client's value fit for an error message: as a Python literal, escaped, at most ``limit`` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
