"""Baselines, and a run held against one.

Reading order: :mod:`~benchkit.verdict.rules` (the arithmetic of one figure), :mod:`~benchkit.verdict.environments`
(what differs between two runs' surroundings), :mod:`~benchkit.verdict.compare` (a whole run),
:mod:`~benchkit.verdict.text` (the report), :mod:`~benchkit.verdict.baselines` (the files).
"""
