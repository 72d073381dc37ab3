"""The same question in other clothes: prompt format families, each with a parser of its own, and what a judge's verdict owes to them.

The paper's Fig. 3b changes the prompt format of RewardBench; its formats are not published, so these families are our choice.
`FORMATS` holds them, `judge_formats` asks a judge in each, `format_table` and `variance_decomposition` say what changed.
"""

from selene_lib.formats.families import FORMATS, PromptFormat
from selene_lib.formats.study import format_spread, format_table, judge_formats, variance_decomposition

__all__ = ["FORMATS", "PromptFormat", "format_spread", "format_table", "judge_formats", "variance_decomposition"]
