"""Tests of the older versions: their tables, and their messages through the codec."""
