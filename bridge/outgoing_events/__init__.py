"""Events for other systems: webhooks, MQTT and NATS, at least once, in order for each Charge Point (docs/events.md).

records     the events, and their JSON Schema
derivation  makes events from facts
queue       decides which events are sent next, when, and which are dropped
database    the events that are not delivered yet, in SQLite
writer      the thread that writes them
delivery    sends the events of one receiver
webhook, mqtt, nats    the ways to send one event
outbox      the watcher that ties these together
"""

from bridge.outgoing_events.delivery import Receiver
from bridge.outgoing_events.outbox import Outbox, ReceiverHealth

__all__ = ["Outbox", "Receiver", "ReceiverHealth"]
