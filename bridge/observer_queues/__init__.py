"""The queues of observers on disk: the messages that wait for further Central Systems, and their transactionIds.

Which message is sent next, and which is dropped, is decided in `bridge.core`. Nothing here knows a wire.
"""

from bridge.observer_queues.database import IdRow, LaneName, MessageRow, ObserverDatabase, StoredLane
from bridge.observer_queues.writer import ObserverWriter

__all__ = ["IdRow", "LaneName", "MessageRow", "ObserverDatabase", "ObserverWriter", "StoredLane"]
