"""The JSON of /api/v2 as types, one module a resource, and the JSON that nodes send each other (`parts`).

What is not here: how an answer is made (`merge/`), where values come from (`collect/`), statuses (`api/`).
Decisions: only this room spells the contract's names. A field without a default is always printed; with
`omit_defaults` a field that has its default vanishes; floats that vanish at zero go through `number.nonzero`.
Lists that the contract prints as `null` are `[]`. Docstrings, and comments behind fields, are the descriptions that
clients read (see openapi/comments.py); one that says "RFC 3339" or "UUID" is a format, too. Read `sessions.py` first:
the others are like it.
"""
