"""Baselines, the comparison of a run with a baseline, and of a gateway with another.

Reading order: :mod:`~benchkit.verdict.rules` (values, directions, thresholds), :mod:`~benchkit.verdict.statistics`
(arithmetic over arrays), :mod:`~benchkit.verdict.metric_verdict` (the verdict of one metric),
:mod:`~benchkit.verdict.environments` (differences between the environments of two runs),
:mod:`~benchkit.verdict.noise` (the machine's noise record), :mod:`~benchkit.verdict.suite_verdict`,
:mod:`~benchkit.verdict.compare` (a whole run), :mod:`~benchkit.verdict.text` (the report),
:mod:`~benchkit.verdict.baselines` (the files).
"""
