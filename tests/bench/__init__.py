"""What the gateway costs, beside what its transports cost when nothing is parsed, in the same run."""
