"""Load: the plan, the engines and their rows, metrics and their validity."""
