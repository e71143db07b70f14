"""Reverse proxies in front of a listener: how they state the peers that they forward requests for.

A proxy states its peer in a PROXY header before the first octet of the connection (`preamble`, `entrance`), or in
header fields of each request (`forwarded`, `client_certificate`). `rules` decides which proxies are trusted.
"""
