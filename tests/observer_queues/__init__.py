"""The queues of observers on disk."""
