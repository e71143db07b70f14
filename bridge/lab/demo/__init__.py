"""The demo: a gateway, a SOAP Charge Point and a JSON Central System run a charging session on one machine.

    scenario    the records of a session and its steps, and the payloads that all sessions use
    session16, session15, session12    the steps of each session, by the Charge Point's version, with their outcomes
    checks      compares what was sent with what arrived, on both sides
    ledger      collects the losses that the gateway logs
    stage       runs the gateway and the two simulators
    fleet       more Charge Points, which charge all the time
    ports       the ports that they listen at
    screen      shows the messages on the wires as lines for a terminal
    xml_lines, json_lines, lines    break XML, JSON and text into lines
    run         runs the demo from its first line to its exit code
    cluster     the demo of several processes, of which one is killed

Nothing here reads or writes an OCPP message. The simulators do, and the gateway between the simulators is the real one.
"""

# The most Charge Points of a fleet: gateway and simulators share one process and its file descriptors.
LARGEST_FLEET = 500
# The most processes of the demo of several processes.
MOST_WORKERS = 8
