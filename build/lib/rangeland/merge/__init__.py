"""Parts → one answer, one module a resource, and the paging of both kinds.

Plain functions of values: no I/O, no clock, no randomness, and nothing that raises, so that a node that fails
or talks nonsense costs its own part only. Not here: asking the nodes (`cluster/`), the JSON (`wire/`). Read
`part.py` first, then `paging.py`: it decides what of the parts a page shows. Each other fits on a screen.
"""
