"""A simulated MCP server about time zones that does its work in a database.

The rooms, each of which knows only those above it:

``errors``      what a user or a client can cause
``seed``        the content of the database, computed from a seed; no I/O but the tzdata package
``tables``      the tables of the database
``store``       every query that an answer is made of, and reading from SQLite
``postgresql``  reading from PostgreSQL
``opening``     connecting to a database and filling it
``catalogue``   what the server offers: tools, resources, the prompt, and how each is answered from the database
``counters``    how many requests of each kind arrived, and how they were answered
``app``         the MCP protocol and plain HTTP around the catalogue
"""

VERSION = "1.0.0"
