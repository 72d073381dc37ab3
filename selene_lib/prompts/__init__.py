"""A prompt and its parser are one contract.

Rendering, verdicts, rubrics, and the formats of the robustness study.
"""
