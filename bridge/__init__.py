"""ocpp-bridge: Charge Points that speak SOAP and Central Systems that speak JSON, through one session table.

Glossary, in the terms of OCPP
    Charge Point         the charging station; it connects to the bridge, and gets commands at its callback address
    Central System       the system that manages Charge Points; the bridge connects to it, and it sends commands
    ChargeBoxIdentity    the name of a Charge Point, which both parties know
    Action               one of the 28 operations of OCPP 1.6: Heartbeat, RemoteStartTransaction, ...
    Call                 a request; it gets exactly one answer
    CallResult           the answer to a Call that succeeded
    CallError            the answer that says why a Call failed
    Unanswered           the bridge's answer if the other party could not be reached or did not answer in time
    UniqueId             the name of a Call on one hop; each hop has its own
    Addressing           the WS-Addressing headers of an OCPP-S message, and the IP address of its sender
    Dialect              the differences of an older OCPP version
    Tenant               one of several operators that share a bridge; an identity names a Charge Point within it
    Key                  the name of a Charge Point inside the bridge: its tenant and its identity (`ocpp/tenants.py`)
    Route                the Central System of a Charge Point, and the settings for translating its messages
    DeviceProfile        the settings for one Charge Point, from its Route and the quirk packs that match it
    Observer             a further Central System of a Route, which gets what the main one has answered
    Link                 the connection to one party: a WebSocket, or the address that takes its POSTs
    Session              a Charge Point's two Links and the Calls between them
    Gateway              all Sessions, and the code that executes their Commands
    Transport            the gateway's side of a Link: a WebSocket that was dialled or accepted, or POSTs

Walk 1, MeterValues from a SOAP Charge Point to a JSON Central System
    net.soap_server (bytes: size, DTD, encoding) -> ocpps.service and ocpps.codec with its dialect (a Call) ->
    core.session (decides: SendCall, SetTimer) -> gateway (executes) -> ocppj.codec (a frame) -> net.json_channel. The
    answer passes the same modules in the opposite order.
Walk 2, RemoteStartTransaction from a JSON Central System to a SOAP Charge Point
    net.json_channel -> ocppj.codec -> core.session -> gateway -> ocpps.codec -> net.soap_client, a POST to the Charge
    Point's callback address. The answer is in the response to the POST.
"""

__version__ = "0.2.0"
