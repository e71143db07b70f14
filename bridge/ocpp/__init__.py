"""The message model of OCPP 1.6: one definition for both wires. No I/O, and no knowledge of SOAP, JSON or WebSocket.

enums       the enumerations                           types       scalars with limits, records that messages share
messages    the 56 PDUs                                actions     the 28 actions and the parties that may send them
rpc         Call and its answers                       losses      the values that a conversion dropped or altered
shapes      the fields of a record, derived from it    validation  plain data to a record, strictly
tolerance   plain data of real peers to valid data     leaves      how each kind of value is read
readings    meter values of any version                times       times in any form of ISO 8601
wire        the octets of a message, for the recorder  device_profile    the settings for one Charge Point
large       which messages are large                   slices      reads large messages in slices
comparison  the differences of two answers
"""
