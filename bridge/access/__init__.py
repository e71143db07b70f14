"""Who may come in: what is asked of a Charge Point, what it shows, and how often it may be wrong.

    rules        one Charge Point's one way in, and what was shown, judged
    basic        HTTP Basic, read
    passwords    salted hashes, and what was verified a moment ago
    attempts     who was wrong how often, and has to wait
    gatekeeper   all of it together, for the doors: the only room with a clock and threads

Knows no wire and no configuration.
"""
