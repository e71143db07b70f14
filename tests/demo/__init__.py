"""Twins of `bridge.demo`."""
