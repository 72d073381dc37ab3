"""Generators of critiques behind one protocol: `generate(requests) -> generations`, in order.

`TeacherGenerator` is the rule-based teacher of the embedded world, `ServerGenerator` asks any
OpenAI-compatible endpoint (vLLM, Ollama, llama.cpp, hosted ones), `LocalGenerator` runs
transformers here, `VllmGenerator` runs vLLM in process. Each keeps what it is answered in the
`ReplyStore` it is handed, as the answers come, and asks only what the store does not hold.
"""
