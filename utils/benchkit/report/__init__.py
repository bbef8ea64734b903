"""Documents to pages. A run's report: documents → view (:mod:`.view`) → HTML (:mod:`.render`).

Pages about several runs (:mod:`.compare_page`, :mod:`.scaling_page`, :mod:`.trend_page`, :mod:`.variants_page`) share a
frame (:mod:`.frame`), charts (:mod:`.plots`) and tables that sort, filter and copy (``templates/tools.js``).

The views hold everything that a page shows, as text and as series of points; the templates only place it.
"""
