"""Every statement sent to a server, one `.sql` file a resource, and the loader that reads them.

Not here: connections and how a statement is run (`pg/`), what rows mean (`collect/`, `state/`). `schema/`
holds the numbered migrations of our own tables. Decisions: no SQL outside this room; the server's version is
data, not an `if`. Read `blocks.py` first for the format of a block, then `sessions.sql`.
"""

from rangeland.sql.blocks import Block, Column, block, blocks

__all__ = ["Block", "Column", "block", "blocks"]
