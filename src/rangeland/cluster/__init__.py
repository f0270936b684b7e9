"""cluster/: the other nodes: who they are, how to ask one or all, and what is known of each.

A node that doesn't answer is a part with an error, never an exception. Nothing here knows what a question means:
the answers are given in by node/. Read cluster.py first, then questions.py.
"""

from rangeland.cluster.cluster import Answer, Cluster, Sender
from rangeland.cluster.event_log import EventLog
from rangeland.cluster.flights import Flights
from rangeland.cluster.forwarding import Forwarding
from rangeland.cluster.questions import Question

__all__ = ["Answer", "Cluster", "EventLog", "Flights", "Forwarding", "Question", "Sender"]
