"""ocpp-bridge: Charge Points that speak SOAP and Central Systems that speak JSON, through one session table.

Glossary, in the field's own terms
    Charge Point         the charging station; it dials, and is called back
    Central System       what manages Charge Points; it is dialled, and commands
    ChargeBoxIdentity    the name by which a Charge Point is known to both
    Action               one of the 28 operations of OCPP 1.6: Heartbeat, RemoteStartTransaction, ...
    Call                 a request on its way; it gets exactly one answer
    CallResult           the answer that was asked for
    CallError            the answer that says why there is none
    Unanswered           what stands in for an answer when the other side could not be reached or said nothing in time
    UniqueId             the name of a Call on one hop; every hop has its own
    Addressing           the WS-Addressing headers of an OCPP-S message, and who sent them
    Dialect              what an older OCPP version says differently
    Route                which Central System a Charge Point belongs to, and how messages are treated on the way
    Manners              how a Charge Point is treated: what its Route, and the quirk packs that fit it, say
    Link                 the way to one party: a WebSocket, or the address that takes its POSTs
    Session              a Charge Point's two Links and the Calls between them
    Gateway              all Sessions, and the hands that carry out what they decide

    Way                  a Link as the gateway's hands hold it: a WebSocket dialled or accepted, or POSTs

Walk 1, MeterValues from a SOAP Charge Point to a JSON Central System
    ocpps.server (bytes: size, DTD, encoding) -> ocpps.service and ocpps.codec with its dialect (a Call) ->
    core.session (decides: SendCall, SetTimer) -> gateway (does it) -> ocppj.codec (a frame) -> ocppj.link; the answer
    comes back through the same rooms.
Walk 2, RemoteStartTransaction from a JSON Central System to a SOAP Charge Point
    ocppj.link -> ocppj.codec -> core.session -> gateway -> ocpps.codec -> ocpps.client, a POST to the address that
    the Charge Point gave; and back.
"""

__version__ = "0.1.0"
