"""The message model of OCPP 1.6: one definition for both wires. No I/O, and nothing of SOAP, JSON or WebSocket.

enums      the enumerations            types      scalars with their limits, records that messages share
messages   the 56 PDUs                 actions    the 28 actions, who may send them
rpc        Call and its answers        losses     what a translation cost
"""
