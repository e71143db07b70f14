"""Authenticate Charge Points and Central Systems, and limit how often a password or token may be guessed.

    rules        check credentials against the rule of a Charge Point
    basic        parse HTTP Basic
    passwords    salted hashes, and a cache of verified passwords
    attempts     rate limit of guesses, and their order
    queue        queue of guesses
    gatekeeper   the interface for the listeners, and the only module with a clock and threads

This package depends neither on a transport nor on the configuration.
"""
