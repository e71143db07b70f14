"""The tests: twins of the modules they test."""
