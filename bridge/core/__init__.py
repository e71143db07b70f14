"""Every decision about a message, and nothing else: no clock, no socket, no codec, no log.

Each event carries its time. Two functions, given at the start, supply random numbers and fresh ids. So a test replays
a day of traffic. No code here distinguishes SOAP from JSON: a Side describes the few differences.

    routes     which Central System a Charge Point belongs to      addresses  where a Charge Point may be called back
    events     inputs of a Session                                 commands   outputs of a Session
    lanes      the Calls of one direction                          session    the rules
    memory     records that outlive a restart                      triggers   messages sent again for a TriggerMessage
    connectors where a transaction is open                         late       answers after the deadline
"""
