"""From samples to preference pairs: critiques, checks, filters, rewards, the mix, the decisions."""
