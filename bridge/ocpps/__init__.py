"""OCPP-S: SOAP envelopes to Calls and answers, and back. No module here does I/O or uses JSON.

xml        bytes to elements, safely         envelope   Envelope, Header with Addressing, Fault
wsdl       operations and types of a WSDL    codec      elements to Calls and answers, and back
service    the services, on Spyne            spyne_on_new_pythons   changes for Spyne on Python 3.12 and later
replies    the HTTP responses                headers    the checks of a strict route
"""
