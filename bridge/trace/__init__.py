"""Traces: recorded messages in the Open OCPP Trace format, v1.1 (JSON lines), written, read, and sent again.

records     the format: one record a message          correlation  which answer belongs to which Call
export      recorded messages as records              comparison   where two answers differ
plan        what of a trace is to be sent             replay       sends it, and compares
"""
