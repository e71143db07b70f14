"""OCPP-S: SOAP over HTTP. Knows nothing of JSON or WebSocket.

xml        bytes to elements, safely         envelope   Envelope, Header with Addressing, Fault
wsdl       what the services look like       codec      elements to Calls and answers, and back
service    the services, on Spyne            spyne_on_new_pythons   what Spyne needs from 3.12 on
server     the listener, on aiohttp          client     POSTs to the other party, on aiohttp
"""
