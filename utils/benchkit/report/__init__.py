"""Documents to pages: each module makes one page, or a part of several, of documents alone.

Every page stands in one frame (:mod:`.frame`, ``templates/frame.html``) that carries its styles, scripts and data. What
its charts show is described by :mod:`.charts` and drawn by ``templates/charts.js``; tables sort, filter and copy by
``templates/tools.js``. The views hold everything that a page shows, as text and as series of points; the templates
only place it.
"""
