"""node/: the composition root: builds every part of a node, owns its start, signals, drain and stop.

Not here: anything that a part can know by itself. Read node.py first; http.py is the listening socket.
"""
