"""Every decision about a message, and nothing else: no clock, no socket, no codec, no log.

Time enters with each event, chance and fresh ids through two functions given at the start. A day of traffic replays in
a test. Nothing here knows SOAP from JSON: a Side says the little that differs.

    routes     which Central System a Charge Point belongs to      addresses  where a Charge Point may be called back
    events     what happened                                       commands   what is to be done about it
    lanes      the Calls of one direction                          session    the rules
    memory     what is remembered beyond the Calls in progress     triggers   what stands in for a TriggerMessage
    connectors where a transaction is open                         late       answers after the deadline
"""
