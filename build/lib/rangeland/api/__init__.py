"""api/: the HTTP edge: the routes, the life of a request, one module a resource, and the peers' side.

Status codes are known here and nowhere else. Not here: the HTTP server itself (node/http.py).
Read routes.py first: it is the whole API on one page.
"""
