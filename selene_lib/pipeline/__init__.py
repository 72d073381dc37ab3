"""Notebooks as a chain.

Where files live, what each notebook reads and writes, runs, resumption, the environment.
"""
