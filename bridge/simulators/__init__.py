"""The other parties: Charge Points and Central Systems that the gateway is exercised with.

What this room is for
    To stand where real equipment stands, in `ocpp-bridge demo` and `simulate` and in the tests, and to object to what
    real equipment would object to. Every simulator tells an observer what went over the wire, keeps what it `received`,
    and writes down in `violations` what the gateway should not have sent.

What it refuses to know
    Anything of the bridge's own reading and writing of messages: the model, the codecs, the core, the gateway. SOAP is
    read and written here by zeep from the WSDL, JSON by the `ocpp` package with its JSON schemas. A mistake that both
    sides shared would be no mistake to either; so nothing is shared.

The modules
    wire                  what is told to an observer, and the exception for a refusal
    answers               what a Charge Point and a Central System answer when nothing else was asked of them
    envelope              SOAP envelopes, on zeep
    soap_charge_point     a Charge Point that speaks OCPP-S
    json_frame            OCPP-J frames, held against the schemas of the `ocpp` package
    json_link             one WebSocket: the Calls of both sides and their answers
    json_central_system   a Central System that speaks OCPP-J
    script                a charging session as data

Payloads are plain dicts with the field names of the wire, the same for SOAP and JSON: 1.6 gives them the same names.
"""
