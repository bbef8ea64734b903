"""Baselines, and a run held against one, or a gateway against another.

Reading order: :mod:`~benchkit.verdict.rules` (figures, directions, thresholds), :mod:`~benchkit.verdict.statistics`
(arithmetic over arrays), :mod:`~benchkit.verdict.metric_verdict` (the verdict of one figure),
:mod:`~benchkit.verdict.environments` (what differs between two runs' surroundings), :mod:`~benchkit.verdict.noise`
(what is known of the machine), :mod:`~benchkit.verdict.suite_verdict`, :mod:`~benchkit.verdict.compare` (a whole run),
:mod:`~benchkit.verdict.text` (the report), :mod:`~benchkit.verdict.baselines` (the files).
"""
