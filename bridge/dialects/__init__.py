"""Convert messages between OCPP 1.6 and the older versions 1.5 and 1.2. Pure; imports only the model and the errors.

A Dialect converts plain data (dicts, lists, leaves), keyed by the PDU's name. Upwards (from an older version to 1.6)
the leaves are the texts in the XML. Downwards (from 1.6 to an older version) the leaves are those of
`bridge.ocpp.shapes.plain`. The rules contain only differences: a PDU without a rule is the same in both versions. Each
dropped, collapsed or assumed value is a Loss, with its path in the names of the version that was read. Texts may be
longer in the older versions; `bridge.ocpp.tolerance` cuts them, as it does for any device.

known      the state of the connectors, which the Session keeps and which OCPP 1.5 does not send
rules      the few kinds of difference            meters    meter values, which differ most
configuration    the configuration keys that have another name
dialect    Dialect, and the answers to messages that cannot be converted
ocpp15     the tables of 1.5                      ocpp12    the differences of 1.2 from 1.5
versions   all Dialects, by version

The tables are those of soap-wire.md section 5 and of rules.md E.
"""
