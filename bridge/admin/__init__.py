"""The admin listener: health and readiness, metrics, the API for operators, and the console."""
