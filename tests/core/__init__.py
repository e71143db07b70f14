"""Every decision, on a clock that the test holds."""
