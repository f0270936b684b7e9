"""The web console: static files that use only the public API, and what serves them.

`assets.py` serves; `static/` has the page, its modules and `vendor/`, other people's modules as `make vendor` wrote
them. Nothing is built: a browser gets the files as they are here. This room doesn't know the API: what a page shows
comes from `/api/v2/`, as it does for everybody. Decision 0030 has the console's own session.
"""

from rangeland.console.assets import STATIC, Console

__all__ = ["STATIC", "Console"]
