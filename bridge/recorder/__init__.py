"""Records the last messages of every Charge Point: as each came, as the model has it, and as it was sent."""

from bridge.recorder.messages import Form, Half, Message, Page, Recorded, Timings
from bridge.recorder.recorder import Recorder

__all__ = ["Form", "Half", "Message", "Page", "Recorded", "Recorder", "Timings"]
