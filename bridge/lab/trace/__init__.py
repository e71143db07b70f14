"""Read and replay traces: recorded messages in the Open OCPP Trace format, v1.1 (JSON lines).

correlation  match answers to Calls            plan         choose the Calls of a trace to send
replay       send them, and compare the answers

`bridge.recorder.trace_records` is the format, `bridge.recorder.trace_export` makes a trace of recorded messages.
"""
