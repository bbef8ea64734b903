"""Load: the plan, hey and its output, metrics and their validity."""
