"""Dialogues written as one text with speaker marks, and as lists of messages."""

from selene_lib.data_access.spec import DropRow, Row

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"


def split_last_turn(text: str) -> tuple[str, str]:
    """Return (dialogue up to the last assistant turn, that turn); raises ValueError where there is none."""
    head, mark, last = text.rpartition(ASSISTANT)
    if not mark or HUMAN in last:
        raise ValueError("the text does not end in an assistant turn")
    return head.strip(), last.strip()


def last_turns(row: Row, chosen: str, rejected: str) -> tuple[str, str, str]:
    """Return (dialogue, chosen turn, rejected turn) of two columns holding whole dialogues that should differ in the last turn only."""
    try:
        (before, better), (other, worse) = split_last_turn(row.text(chosen)), split_last_turn(row.text(rejected))
    except ValueError as error:
        raise row.broken(chosen, f"a dialogue of Human and Assistant turns ({error})", row.text(chosen)) from error
    if before != other:
        raise DropRow("the two dialogues differ before the last turn")
    return check_pair(before, better, worse)


def check_pair(instruction: str, better: str, worse: str) -> tuple[str, str, str]:
    """Return the pair, or drop it where a response is empty or both are equal: nothing is there to compare."""
    if not better.strip() or not worse.strip():
        raise DropRow("a response is empty")
    if better.strip() == worse.strip():
        raise DropRow("both responses are the same")
    return instruction, better, worse


def one_speaker(text: str) -> str:
    """Return a dialogue of one human turn without its speaker mark; a longer one is left as it is."""
    text = text.strip()
    return text.removeprefix("Human:").strip() if text.count("Human:") == 1 and "Assistant:" not in text else text
