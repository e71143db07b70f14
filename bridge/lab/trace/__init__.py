"""Write, read and replay traces: recorded messages in the Open OCPP Trace format, v1.1 (JSON lines).

records     the format: one record for each message   correlation  match answers to Calls
export      convert recorded messages to records      plan         choose the Calls of a trace to send
replay      send them, and compare the answers
"""
