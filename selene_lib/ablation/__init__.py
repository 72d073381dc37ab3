"""Which sources and which reward threshold: short training runs raced against each other."""
