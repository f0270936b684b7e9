"""openapi/: writes down what the API is: the OpenAPI document, its page, tables of the reference, examples.

All of it is computed from the table of routes and the wire types, at build time (`make openapi`); a node only serves
the files (api/openapi.py) and never imports this room. Read document.py first.
"""
