"""A simulated MCP server for time zones that does its work in a database.

The modules, each of which uses only those above it:

``errors``      errors that a user or a client can cause
``seed``        the content of the database, computed from a seed; no I/O except the tzdata package
``tables``      the tables of the database
``store``       all queries, and reading from SQLite
``postgresql``  reading from PostgreSQL
``database``    connecting to a database and filling it
``catalogue``   what the server offers: tools, resources, the prompt, and how each is answered from the database
``counters``    number of requests by kind and outcome
``app``         the MCP protocol and plain HTTP around the catalogue
"""

VERSION = "1.0.0"
