"""A run's verdict in the formats that CI systems read.

Reading order: :mod:`~benchkit.verdict.ci.results` (the results of a run and of each case),
:mod:`~benchkit.verdict.ci.annotations` (GitHub), :mod:`~benchkit.verdict.ci.junit` (GitLab, Jenkins),
:mod:`~benchkit.verdict.ci.openmetrics` (GitLab, Prometheus), :mod:`~benchkit.verdict.ci.summary` (JSON, Markdown).
All of them depend on the documents only: the same run gives the same text.
"""
