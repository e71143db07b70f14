"""Walks over real sockets: zeep and the `ocpp` package, or bytes that no library would send, on either side."""
