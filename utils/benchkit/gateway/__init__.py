"""Access to the target: login and token, path prefix, catalogue, registration, counters."""
