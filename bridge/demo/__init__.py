"""The main job on one machine: a gateway, a SOAP Charge Point, a JSON Central System, and a charging session.

    scenario    what a session is made of, and what all of them have alike
    session16, session15, session12    their steps, by the Charge Point's version, and what each is to bring about
    checks      whether it did: what was sent against what arrived, on both sides
    ledger      the losses that the gateway logs
    stage       who plays: the gateway and the two simulators; at which ports
    screen      what went over the wires, as lines for a terminal
    xml_lines, json_lines, lines    how XML, JSON and text are broken into lines
    run         the demo from its first line to its exit code

Nothing here reads or writes an OCPP message: the simulators do, and the gateway between them is the real one.
"""
