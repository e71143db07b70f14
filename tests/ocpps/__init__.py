"""Tests of the SOAP side."""
