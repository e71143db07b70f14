"""Limits for peers: connections, header octets, messages per second, lines in the log.

This package counts; the listeners refuse. The counters depend on no wire format and get the time as an argument; only
`connections` holds a connection. The tables of the counters are bounded as well, so that a hostile peer cannot fill
them.
"""
