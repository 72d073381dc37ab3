"""Judges behind one protocol: `judge(prompts) -> replies`, in the order of the prompts.

`LocalJudge` runs any checkpoint or adapter with transformers, `ServerJudge` asks any
OpenAI-compatible endpoint, `VllmJudge` runs vLLM in process, `ReplayJudge` gives back stored
replies. A new judge is one class with these members and one test.
"""
