"""Why a reply ended, as servers say it: at its natural end, at a filter, or broken off.

What is not known as a natural end is none: a reply that broke off in its middle may hold a draft.
"""

from __future__ import annotations

_NATURAL = {
    "stop", "stopped", "stop_sequence", "stop_token", "stop_str", "stop_word", "eos", "eos_token",
    "end", "end_turn", "end_of_turn", "end_of_text", "complete", "completed", "finish", "finished",
    "done", "normal", "success", "ok", "finish_reason_stop",
    "tool_calls", "tool_call", "tool_use", "function_call",
}  # fmt: skip
_FILTERED = {
    "content_filter", "content_filtered", "content-filter", "filtered", "filter", "refusal",
    "safety", "image_safety", "recitation", "prohibited_content", "blocklist", "spii", "language",
    "error_toxic", "guardrail_intervened", "moderation", "sensitive",
}  # fmt: skip
_OUT_OF_TOKENS = {
    "length", "max_tokens", "max_length", "max_output_tokens", "max_new_tokens", "model_length",
    "token_limit", "context_length", "model_context_window_exceeded", "finish_reason_max_tokens",
}  # fmt: skip


def was_cut(finish_reason: str) -> bool:
    """Whether a reply may have been meant to go on: it neither ended by itself nor was filtered."""
    reason = finish_reason.strip().lower()
    return bool(reason) and reason not in _NATURAL and reason not in _FILTERED


def was_filtered(finish_reason: str) -> bool:
    """Whether a filter ended the reply."""
    return finish_reason.strip().lower() in _FILTERED


def what_came(finish_reason: str) -> str:
    """What came in the way of a reply that was cut, in words: `the token limit came`."""
    if finish_reason.strip().lower() in _OUT_OF_TOKENS:
        return "the token limit came"
    if was_filtered(finish_reason):
        return "a filter came"
    return f"the end ({finish_reason.strip()[:40]}) came"
