"""A prompt and its parser are one contract: rendering, verdicts, rubrics, and the formats of the
robustness study.
"""
