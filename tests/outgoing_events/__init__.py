"""Events for other systems: the queue, what is kept of it, and the three ways out, each with a real receiver."""
