"""The report of a run: documents (``run.json``, ``comparison.json``) → view (:mod:`.view`) → HTML (:mod:`.render`).

The view holds everything that the page shows, as text and as series of points; the templates only place it.
"""
