"""Tests of bridge.access."""
