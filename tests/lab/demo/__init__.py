"""Twins of `bridge.lab.demo`."""
