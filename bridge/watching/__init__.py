"""Facts about messages and connections, and the watchers that get them."""
