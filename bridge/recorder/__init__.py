"""Records the last messages of every Charge Point: as each came, as the model has it, and as it was sent."""

from bridge.recorder.messages import CallRecord, Form, Half, Message, MessageFilter, Page, Recorded, Timings
from bridge.recorder.recorder import Recorder

__all__ = [
    "CallRecord",
    "Form",
    "Half",
    "Message",
    "MessageFilter",
    "Page",
    "Recorded",
    "Recorder",
    "Timings",
]
