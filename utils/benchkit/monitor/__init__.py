"""Sample resource usage during a run: processes, containers, database connections, and the monitor itself."""
