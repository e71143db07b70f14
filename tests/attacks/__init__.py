"""Hostile traffic over real sockets: one attack at a time beside honest Charge Points, and all of them for long."""
