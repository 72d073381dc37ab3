"""Names, loading and serving of models: what a name means, one place that opens it, one client for
any server.
"""
