"""Simulated Charge Points and Central Systems: the parties on both sides of the gateway.

Purpose
    The simulators stand in the place of real equipment in `ocpp-bridge demo`, in `ocpp-bridge simulate` and in the
    tests. A simulator rejects what real equipment would reject. Every simulator reports each message on the wire to an
    observer, keeps the requests that it received in `received`, and writes the gateway's errors down in `violations`.

What this package does not use
    The simulators share no code with the bridge's own reading and writing of messages: not the model, not the codecs,
    not the core, not the gateway. zeep reads and writes SOAP from the WSDL; the `ocpp` package reads and writes JSON
    with its JSON schemas. If both sides shared a mistake, neither side would notice the mistake.

Modules
    wire                  the record of a message on the wire, and the exception for a refusal
    answers               the default answers of a Charge Point and of a Central System
    envelope              SOAP envelopes, on zeep
    soap_charge_point     a Charge Point that speaks OCPP-S
    json_frame            OCPP-J frames, checked against the schemas of the `ocpp` package
    json_link             one WebSocket: the Calls of both sides and their answers
    json_central_system   a Central System that speaks OCPP-J
    script                a charging session as data

Payloads are plain dicts with the field names of the wire. The names are the same for SOAP and JSON in OCPP 1.6.
"""
