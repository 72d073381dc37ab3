"""How pairs lie in rows: each prompt once with both completions, or two sequences a pair.

Rows are padded, or all is packed into one row. A row of the shared layout is `[prompt | chosen |
rejected]`. The positions of the rejected part restart after the prompt, and it is blind to the
chosen part, so every token sees exactly what it would see in a sequence of its own (prefix sharing:
arXiv 2410.20305). Several documents (pairs, or sequences of the plain layout) may lie in one row;
none sees another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from selene_lib.training.encoding import EncodedPair, TokenIds

if TYPE_CHECKING:
    from torch import Tensor

Layout = Literal["shared_prefix", "pairs"]
PROMPT, CHOSEN, REJECTED = 0, 1, 2
PADDING = -1


@dataclass(frozen=True)
class Span:
    """One document in a row: its start, and the tokens of its prompt and its completions."""

    row: int
    start: int
    n_prompt: int
    n_first: int
    n_second: int = 0

    @property
    def n_tokens(self) -> int:
        return self.n_prompt + self.n_first + self.n_second


@dataclass(frozen=True)
class RowBatch:
    """Rows ready for a model.

    All row tensors are [n_rows, row_tokens]; `document_ids` is -1 on padding. `predict_at` [n] are
    flat positions (row * row_tokens + column) whose hidden state predicts the completion token
    `targets` [n]; `owner` [n] is the sequence it belongs to: 2 * pair for chosen, 2 * pair + 1 for
    rejected.
    """

    input_ids: Tensor
    position_ids: Tensor
    document_ids: Tensor
    segment_ids: Tensor
    predict_at: Tensor
    targets: Tensor
    owner: Tensor
    spans: tuple[Span, ...]
    n_pairs: int

    def to(self, device: Any) -> RowBatch:
        """The same batch with its tensors on `device`."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        return replace(
            self,
            input_ids=move(self.input_ids),
            position_ids=move(self.position_ids),
            document_ids=move(self.document_ids),
            segment_ids=move(self.segment_ids),
            predict_at=move(self.predict_at),
            targets=move(self.targets),
            owner=move(self.owner),
        )


# (prompt, completion) or (prompt, chosen, rejected) token ids
Document = tuple[TokenIds, ...]


def documents(pair: EncodedPair, layout: Layout) -> list[Document]:
    """The documents one pair makes: one with both completions, or two with one each."""
    if layout == "shared_prefix":
        return [(pair.prompt_ids, pair.chosen_ids, pair.rejected_ids)]
    return [(pair.prompt_ids, pair.chosen_ids), (pair.prompt_ids, pair.rejected_ids)]


def n_row_tokens(pair: EncodedPair, layout: Layout) -> int:
    """How many tokens one pair occupies in a layout, without padding."""
    return sum(sum(map(len, document)) for document in documents(pair, layout))


def lay_out_pairs(
    pairs: Sequence[EncodedPair],
    layout: Layout,
    *,
    packing: bool,
    pad_token_id: int,
    pad_to_multiple: int = 1,
) -> RowBatch:
    """Lay pairs out in rows.

    With `packing` all documents lie in one row, else one document a row, padded on the right.
    `pad_to_multiple` rounds the row length up (128 for FlexAttention's blocks).
    """
    # a document with the number of its first sequence: 2 * pair, and one more for a rejected side
    # that lies in a document of its own
    docs: list[tuple[Document, int]] = []
    for number, pair in enumerate(pairs):
        docs += [(document, 2 * number + j) for j, document in enumerate(documents(pair, layout))]
    spans = _place([document for document, _ in docs], packing)
    n_rows = spans[-1].row + 1
    width = max(span.start + span.n_tokens for span in spans)
    width = -(-width // pad_to_multiple) * pad_to_multiple
    return _fill(docs, spans, n_rows, width, pad_token_id, len(pairs))


def _place(docs: Sequence[Document], packing: bool) -> list[Span]:
    spans: list[Span] = []
    start = 0
    for number, document in enumerate(docs):
        lengths = [len(part) for part in document]
        if min(lengths) == 0:
            raise ValueError(
                "a pair with an empty prompt or completion cannot be trained on; "
                "the encoder never makes one"
            )
        row, here = (0, start) if packing else (number, 0)
        spans.append(Span(row, here, *lengths))
        start += sum(lengths)
    return spans


def _fill(
    docs: Sequence[tuple[Document, int]],
    spans: Sequence[Span],
    n_rows: int,
    width: int,
    pad_token_id: int,
    n_pairs: int,
) -> RowBatch:
    import numpy as np
    import torch

    ids = np.full((n_rows, width), pad_token_id, np.int64)
    positions = np.zeros((n_rows, width), np.int64)
    document_ids = np.full((n_rows, width), PADDING, np.int64)
    segments = np.zeros((n_rows, width), np.int64)
    predict_at, targets, owner = [], [], []
    for number, ((document, sequence), span) in enumerate(zip(docs, spans)):
        row, here = span.row, span.start
        document_ids[row, here : here + span.n_tokens] = number
        for part, part_ids in enumerate(document):
            first = 0 if part == 0 else span.n_prompt
            there = here + len(part_ids)
            ids[row, here:there] = part_ids
            positions[row, here:there] = np.arange(first, first + len(part_ids))
            segments[row, here:there] = part
            if part:
                # the first completion token is predicted by the last token of the prompt, for both
                # sides
                before = np.concatenate(
                    [[span.start + span.n_prompt - 1], np.arange(here, there - 1)]
                )
                predict_at.append(row * width + before)
                targets.append(np.asarray(part_ids, np.int64))
                owner.append(np.full(len(part_ids), sequence + part - 1, np.int64))
            here = there
    return RowBatch(
        input_ids=torch.from_numpy(ids),
        position_ids=torch.from_numpy(positions),
        document_ids=torch.from_numpy(document_ids),
        segment_ids=torch.from_numpy(segments),
        predict_at=torch.from_numpy(np.concatenate(predict_at)),
        targets=torch.from_numpy(np.concatenate(targets)),
        owner=torch.from_numpy(np.concatenate(owner)),
        spans=tuple(spans),
        n_pairs=n_pairs,
    )


def dense_mask(batch: RowBatch) -> Tensor:
    """Boolean mask [n_rows, 1, row_tokens, row_tokens]: may a query (3rd) see a key (4th)?

    Same document, not later in the row, and either the key is prompt or both lie in the same
    completion. Padding sees itself only, so that no softmax is empty.
    """
    import torch

    width = batch.input_ids.shape[1]
    index = torch.arange(width, device=batch.input_ids.device)
    causal = index[:, None] >= index[None, :]
    same_document = batch.document_ids[:, :, None] == batch.document_ids[:, None, :]
    key_segment, query_segment = batch.segment_ids[:, None, :], batch.segment_ids[:, :, None]
    visible = (key_segment == PROMPT) | (key_segment == query_segment)
    padding = batch.document_ids[:, :, None] == PADDING
    itself = index[:, None] == index[None, :]
    return torch.where(padding, itself, causal & same_document & visible)[:, None]


def block_mask(batch: RowBatch) -> Any:
    """The mask of `dense_mask` for FlexAttention.

    Blocks of 128 x 128, of which the empty ones are never computed.
    """
    from torch.nn.attention.flex_attention import create_block_mask

    document_ids, segment_ids = batch.document_ids, batch.segment_ids

    def visible(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        same = document_ids[row, query] == document_ids[row, key]
        key_segment = segment_ids[row, key]
        open_segment = (key_segment == PROMPT) | (key_segment == segment_ids[row, query])
        inside = same & open_segment & (query >= key) & (document_ids[row, query] != PADDING)
        return inside | (query == key)

    n_rows, width = batch.input_ids.shape
    return create_block_mask(visible, n_rows, None, width, width, device=batch.input_ids.device)
