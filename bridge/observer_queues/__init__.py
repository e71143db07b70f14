"""The queues of observers: the messages that wait for further Central Systems, and their transactionIds.

A single process keeps them in a file of its own, several processes in the records that they share. Which message is
sent next, and which is dropped, is decided in `bridge.core`. Nothing here knows a wire.
"""

from bridge.observer_queues.contents import ObserverContents
from bridge.observer_queues.database import IdRow, ObserverDatabase
from bridge.observer_queues.queues import LaneName, MessageContent, MessageRow, ObserverQueues, StoredLane
from bridge.observer_queues.shared_writer import QueueStore, SharedObserverWriter
from bridge.observer_queues.writer import ObserverWriter

__all__ = [
    "IdRow",
    "LaneName",
    "MessageContent",
    "MessageRow",
    "ObserverContents",
    "ObserverDatabase",
    "ObserverQueues",
    "ObserverWriter",
    "QueueStore",
    "SharedObserverWriter",
    "StoredLane",
]
