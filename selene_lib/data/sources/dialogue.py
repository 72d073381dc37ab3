"""Dialogues written as one text with speaker marks, and as lists of messages."""

from selene_lib.data.spec import DropRow, Row

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"


def split_last_turn(text: str) -> tuple[str, str]:
    """Return (dialogue up to the last assistant turn, that turn).

    Raises ValueError where there is none.
    """
    head, mark, last = text.rpartition(ASSISTANT)
    if not mark or HUMAN in last:
        raise ValueError("the text does not end in an assistant turn")
    return head.strip(), last.strip()


def last_turns(row: Row, chosen: str, rejected: str) -> tuple[str, str, str]:
    """Return (dialogue, chosen turn, rejected turn).

    The two columns hold whole dialogues that should differ in the last turn only.
    """
    try:
        before, better = split_last_turn(row.text(chosen))
        other, worse = split_last_turn(row.text(rejected))
    except ValueError as error:
        raise row.broken(
            chosen, f"a dialogue of Human and Assistant turns ({error})", row.text(chosen)
        ) from error
    if before != other:
        raise DropRow("the two dialogues differ before the last turn")
    return check_pair(before, better, worse)


def check_pair(instruction: str, better: str, worse: str) -> tuple[str, str, str]:
    """Return the pair; drop it where a response is empty or both are equal.

    Nothing is there to compare.
    """
    if not better.strip() or not worse.strip():
        raise DropRow("a response is empty")
    if better.strip() == worse.strip():
        raise DropRow("both responses are the same")
    return instruction, better, worse


def one_speaker(text: str) -> str:
    """Return a dialogue of one human turn without its speaker mark, a longer one as it is."""
    text = text.strip()
    if text.count("Human:") == 1 and "Assistant:" not in text:
        return text.removeprefix("Human:").strip()
    return text


def split_messages(row: Row, column: str) -> tuple[str, str]:
    """Return (text before, last assistant message) of a column of `{role, content}` messages.

    A system message is kept at the top.
    """
    messages = _messages(row, column)
    if len(messages) < 2 or messages[-1][0] != "assistant":
        raise row.broken(
            column, "messages that end in one of the assistant", [role for role, _ in messages]
        )
    if len(messages) == 2 and messages[0][0] == "user":
        return messages[0][1], messages[1][1]
    names = {"user": "Human", "assistant": "Assistant", "system": "System"}
    before = "\n\n".join(f"{names.get(role, role)}: {content}" for role, content in messages[:-1])
    return before, messages[-1][1]


def turns_of(row: Row, column: str) -> tuple[str, str]:
    """Return (all user turns, all assistant turns) of a column of messages.

    For dialogues in which both sides differ from the start.
    """
    messages = _messages(row, column)
    asked = [text for role, text in messages if role == "user"]
    answered = [text for role, text in messages if role == "assistant"]
    if not asked or len(asked) != len(answered):
        raise row.broken(
            column, "user and assistant messages in turn", [role for role, _ in messages]
        )
    return _numbered(asked), _numbered(answered)


def _messages(row: Row, column: str) -> list[tuple[str, str]]:
    """Return the (role, text) of each message of a column."""
    found = []
    for message in row.records(column):
        found.append((message.text("role"), message.text("content", may_be_empty=True).strip()))
    return found


def _numbered(texts: list[str]) -> str:
    if len(texts) == 1:
        return texts[0]
    return "\n\n".join(f"Turn {number}: {text}" for number, text in enumerate(texts, 1))
