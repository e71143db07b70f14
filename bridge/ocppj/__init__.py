"""OCPP-J: frames to Calls and answers, and back. No module here does I/O or uses SOAP."""
