"""What a model name means, one place that opens it, and one client for any server."""
