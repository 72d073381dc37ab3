"""Training a judge: preference pairs in, an adapter out.

`run.train(spec, pairs, out_dir)` is the whole of it. Its modules work in this order:

1. `spec` says what a run is; `planner` predicts memory and hours from it (`shapes`, `counting`),
   `card_plans` for each of the `cards`.
2. `decision` looks at the hardware; `model` opens base and adapter; `probe` tests the layout.
3. `encoding` turns pairs into token ids, `encoded_store` once; `batching` says which make a step.
4. `layout` puts pairs into rows, the prompt once; `attention` keeps the rows' documents apart.
5. `logprobs` reads the completions' log-probabilities; `reference` those of the base, once.
6. `loss` is the objective; `trainer` (or `trl_trainer`) minimises it; `checkpoints` resume it.
7. `saving` writes the adapter; `export` merges it, refuses `flips`, adds `serving` and `card`.
"""
