"""How much of everything a peer may have: connections, header octets, messages a second, lines in the log.

What is counted is counted here, what is refused is refused where it came in. The counters know no wire and are given
the time; only `guard` holds a connection. Each is bounded itself: what a stranger can make grow is never the table that
is there to stop him.
"""
