"""Errors caused by a user of the server: on the command line, or in a request."""


class UserError(Exception):
    """The server cannot start; one sentence says what is wrong and what to do."""


class BadRequestError(Exception):
    """A client's request cannot be answered; the message says what is wrong and what would be right."""


class DatabaseError(Exception):
    """The database did not answer a query; the message gives the reason in one line."""


def quoted(value: object, limit: int = 80) -> str:
    """Return a client's value for an error message: as an escaped Python literal of at most ``limit`` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
