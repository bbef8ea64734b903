"""Joins the rooms into what a user asks for: a run, a paired comparison, a sweep over profiles, a CPU profile."""
