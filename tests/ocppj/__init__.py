"""Tests of the OCPP-J side."""
