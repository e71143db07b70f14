"""What OCPP 1.5 and 1.2 say differently from 1.6, up and down. Pure; imports only the model and the errors.

A Dialect works on plain data (dicts, lists, leaves), keyed by the PDU's name. What XML brings has text for leaves; what
goes out has the leaves of `bridge.ocpp.shapes.plain`. Only what differs is written: a PDU without a rule is the same
in both versions. Each drop, collapse and assumption is a Loss, its path in the names of what was read. Texts that are
longer in the older versions are the tolerance's affair, as those of any sloppy device.

known      what the Session knows of the connectors, and OCPP 1.5 does not say
rules      the few kinds of difference            meters    meter values, which differ most
dialect    Dialect, and what stands in for a message that cannot be carried
ocpp15     the tables of 1.5                      ocpp12    what 1.2 has differently from 1.5
versions   all of them, by version

The tables are those of soap-wire.md section 5 and of rules.md E.
"""
