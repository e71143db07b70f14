"""What was built and shipped."""
