"""What was said: the last messages of every Charge Point, each as it came, as the model has it, and as it went out."""

from bridge.recorder.messages import Form, Half, Message, Page, Recorded, Timings
from bridge.recorder.recorder import Recorder

__all__ = ["Form", "Half", "Message", "Page", "Recorded", "Recorder", "Timings"]
