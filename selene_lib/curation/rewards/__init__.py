"""Reward models behind one protocol: `score(prompts, replies) -> rewards`; their thresholds.

`NanoReward` is the one of the embedded world, trained on held-out generated critiques.
`SequenceClassifierReward` runs any sequence-classification reward model with transformers,
`ArmoReward` the ArmoRM checkpoint with a head of our own (no code from the hub).
"""
