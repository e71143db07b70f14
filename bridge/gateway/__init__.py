"""The hands: what carries out the decisions of `core` through the transports, and decides nothing itself.

gateway      everything put together, its start and its end
doors        who comes in, and how                  placement  where a Charge Point belongs
sessions     the table: one Conductor a Charge Point
conductor    feeds a Session events, does what it commands
ways         how a party is reached: a WebSocket dialled or accepted, or POSTs
keeping      what is put into the store, and taken out of it
"""

from bridge.gateway.doorplates import CENTRAL_SYSTEM_SERVICE, CHARGE_POINT_SERVICE
from bridge.gateway.gateway import Gateway

__all__ = ["CENTRAL_SYSTEM_SERVICE", "CHARGE_POINT_SERVICE", "Gateway"]
