"""OCPP-J: JSON over WebSocket. The codec is pure; the transports around it only move text. Knows nothing of SOAP."""
