"""The gateway: carries out the decisions of `core` through the transports. It makes no decision about a message itself.

admission       admits or refuses SOAP messages and WebSocket handshakes
placement       finds the Central System, the name and the settings of a Charge Point
sessions        the table of Sessions: one SessionRunner per Charge Point
session_runner  passes events to a Session and carries out the Session's commands
transports      reach a party: a WebSocket that was dialled or accepted, or HTTP POSTs
persistence     writes records to the store and reads them

node              this process as one of a cluster: its slots, and their Charge Points
holder_search     asks the process that has a Charge Point
forwarding        passes SOAP requests and WebSockets to it
admin_forwarding  passes requests of operators to it, and asks all processes for their parts
live_forwarding   passes the events of the live stream between processes
move_nodes        passes the steps of a move to the processes that have its Charge Points

`bridge.app` creates all parts, starts and stops them.
"""
