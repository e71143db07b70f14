"""How much a peer may have."""
