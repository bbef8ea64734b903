"""Samples what a run uses, beside it: processes, containers, a database's connections, and what that itself costs."""
