"""The chain: where files live, what each notebook reads and writes, runs, resumption, the
environment.
"""
