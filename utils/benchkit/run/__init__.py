"""What a user can start: a run, a paired comparison, a run over several profiles, a CPU profile. Joins the rooms."""
