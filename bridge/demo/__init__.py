"""The main job on one machine: a gateway, a SOAP Charge Point, a JSON Central System, and a charging session.

    scenario    the steps of the session, and what each is to bring about
    checks      whether it did: what was sent against what arrived, on both sides
    stage       who plays: the gateway and the two simulators; at which ports
    screen      what went over the wires, as lines for a terminal
    xml_lines, json_lines, lines    how XML, JSON and text are broken into lines
    run         the demo from its first line to its exit code

Nothing here reads or writes an OCPP message: the simulators do, and the gateway between them is the real one.
"""
