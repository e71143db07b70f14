"""The other parties: simulators of Charge Points and Central Systems, the demo, and recorded messages sent again.

simulators    Charge Points and Central Systems, on zeep and on the `ocpp` package
demo          a charging session through a gateway, on one machine
trace         recorded messages in the Open OCPP Trace format, and their replay
translation   one message between SOAP and JSON, without a gateway
"""
