"""Chatbot Arena conversations: which of two anonymous models 33,000 visitors preferred.

Example: {"question_id": "...", "model_a": "...", "model_b": "...", "winner": "model_a",
"conversation_a": [{"role": "user", ...}], ...}
Label:   human; model_a, model_b, and both kinds of tie, which are kept as ties.
Caveat:  gated; prompts CC BY 4.0, outputs CC BY-NC 4.0 by the terms of the set; unsafe text occurs.
"""

from selene_lib.data.sources.dialogue import check_pair, turns_of
from selene_lib.data.spec import DataSpec, DropRow, Row
from selene_lib.records import TIE, Sample

LABELS = {"model_a": "A", "model_b": "B", "tie": TIE, "tie (bothbad)": TIE}


def to_samples(row: Row) -> Sample:
    asked, first = turns_of(row, "conversation_a")
    asked_b, second = turns_of(row, "conversation_b")
    if asked != asked_b:
        raise DropRow("the two dialogues differ in what the user asked")
    instruction, first, second = check_pair(asked, first, second)
    return row.sample(
        "pairwise",
        instruction,
        first,
        response_b=second,
        label=row.choice("winner", LABELS),
        key=(row.text("question_id"),),
        meta={
            "winner": row.text("winner"),
            "models": [row.text("model_a"), row.text("model_b")],
            "language": row.text_or_none("language") or "",
        },
    )


SPEC = DataSpec(
    name="chatbot_arena",
    role="source",
    task="pairwise",
    title="Chatbot Arena conversations",
    licence="prompts CC BY 4.0, outputs CC BY-NC 4.0 (by its terms)",
    label="preference of a visitor; both kinds of tie are ties",
    columns={
        "question_id": "text",
        "model_a": "text",
        "model_b": "text",
        "winner": "model_a, model_b, tie or tie (bothbad)",
        "conversation_a": "list of messages",
        "conversation_b": "list of messages",
    },
    to_samples=to_samples,
    shape_known_from="dataset card",
    hub_id="lmsys/chatbot_arena_conversations",
    published_n=33000,
    gated=True,
    training="non-commercial",
    stand_in=True,
    notes="the fields stand on the card, the four values of `winner` were read in public code",
)
