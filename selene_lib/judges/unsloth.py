"""A judge in Unsloth's inference mode (extra `gpu`), for adapters trained with it. GPU only.

Unsloth replaces the model's forward by one that knows only the cache of its own `generate`, so
batches go through that: plain left padding, no shared prefixes, no rows that leave early. Planning,
early stop, probabilities and limits are those of `LocalJudge`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

from selene_lib.errors import UserError
from selene_lib.judges.decoding import Generated, left_pad
from selene_lib.judges.local import LocalJudge, watch_ids
from selene_lib.models.adapters import attach_adapter
from selene_lib.models.loading import open_config, open_tokenizer
from selene_lib.prompts.rendering import Prompt


class UnslothJudge(LocalJudge):
    """Takes what `LocalJudge` takes.

    The adapter is not merged. Without a GPU or without Unsloth it is a UserError.
    """

    def _open(self, dtype: str | None, device: str | None) -> tuple[Any, Any]:
        import torch

        if not torch.cuda.is_available() or importlib.util.find_spec("unsloth") is None:
            raise UserError(
                "Unsloth needs an NVIDIA GPU and pip install 'selene_lib[gpu]'; "
                "judge with the plain model instead"
            )
        from unsloth import FastLanguageModel  # before transformers, which it rewrites

        config = open_config(str(self.path))
        model, _ = FastLanguageModel.from_pretrained(
            str(self.path),
            # a larger one would stretch the positions
            max_seq_length=config.get_text_config().max_position_embeddings,
            load_in_4bit=self.quantisation == "nf4",
            dtype=getattr(torch, dtype) if dtype else None,
            use_exact_model_name=True,
            fix_tokenizer=False,
            offload_embedding=False,
            use_gradient_checkpointing=False,
        )
        if self.adapter is not None:
            # an adapter names its base by folder only, so the base is opened first
            model = attach_adapter(model, self.adapter, str(self.path))
        FastLanguageModel.for_inference(model)
        return model, open_tokenizer(str(self.path))

    def _generate(self, prompts: Sequence[Prompt], rows: list[list[int]]) -> list[Generated]:
        import torch
        from transformers import StoppingCriteriaList

        if self.temperature:
            raise UserError("Unsloth writes greedily here: leave temperature and samples out")
        ends, pad = self._end_and_pad()
        ids, mask = left_pad(rows, pad, self.model.device)
        stops = StoppingCriteriaList(
            [self._stop_after(ids.shape[1])] if self.stop_at_verdict else []
        )
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=self.max_new_tokens,
                do_sample=False,
                pad_token_id=pad,
                eos_token_id=sorted(ends),
                stopping_criteria=stops,
                return_dict_in_generate=True,
                output_logits=True,
            )
        watched = watch_ids(self._watched)
        logits = torch.stack([step[:, watched].float().cpu() for step in out.logits], 1)
        return [
            self._cut(row, ends, values)
            for row, values in zip(out.sequences[:, ids.shape[1] :].tolist(), logits)
        ]

    def _stop_after(self, n_prompt: int) -> Any:
        """A stopping criterion: done is a row that just ended a line and has a verdict line."""
        import torch

        def done(sequences: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
            rows = sequences[:, n_prompt:].tolist()
            flags = [row[-1] in self._newlines and self._verdict_written(row) for row in rows]
            return torch.tensor(flags, device=sequences.device)

        return done

    def _cut(self, row: list[int], ends: set[int], watched: Any) -> Generated:
        """The reply up to its end token, or up to the token that finished its verdict line."""
        for i, token in enumerate(row):
            if token in ends:
                return Generated(row[:i], "stop", watched[:i])
            line_ends = self.stop_at_verdict and token in self._newlines
            if line_ends and self._verdict_written(row[: i + 1]):
                return Generated(row[: i + 1], "stop", watched[: i + 1])
        return Generated(row, "length", watched)
