"""Turn documents into pages: each module builds one page, or a part of several, from documents alone.

All pages share one frame (:mod:`.frame`, ``templates/frame.html``) that embeds styles, scripts and data. :mod:`.charts`
describes the charts and ``templates/charts.js`` draws them; ``templates/tools.js`` sorts, filters and copies tables.
The views prepare all content, as text and as series of points; the templates only lay it out.
"""
