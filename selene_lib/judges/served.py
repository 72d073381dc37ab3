"""A judge that a server of this machine answers for: vLLM (extra `vllm`) with the arm's adapter.

vLLM schedules thousands of requests over one copy of the weights and computes a common prefix once,
which is what judging half a million pairs on a GPU needs. The server is started for one judge, on a
port of its own, and ends with it (and with this process). Prompts reach it as the chat messages
that the local tokenizer was asked to count and to clean of control tokens.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.judges.server import ServerJudge, digest
from selene_lib.models.client import ChatRequest
from selene_lib.models.vllm_engine import engine_lora_rank
from selene_lib.prompts.chat import encode_chat, neutralise
from selene_lib.prompts.rendering import Prompt, shorten

ENGINES = ("auto", "local", "vllm")
SERVED_AS = "judge"
# an 8B model is read, compiled and warmed up in a few minutes
PATIENCE_SECONDS = 1800.0
# nobody's key: nothing of the environment is sent to a server of this machine
_NO_KEY = "SELENE_LOCAL_SERVER_KEY"


def choose_engine(engine: str, *, read: str, adapter: Path | None, is_small: bool) -> str:
    """Return `vllm` or `local` for an engine of `ENGINES`.

    `auto` is vLLM where it and a GPU are, for a judge that writes its reply and is no small model;
    full weights instead of a LoRA are opened locally. What cannot be had is a UserError.
    """
    if engine not in ENGINES:
        raise UserError(f"engine {engine!r} is not one of {', '.join(ENGINES)}")
    obstacle = _obstacle(read, adapter)
    if engine == "vllm" and obstacle:
        raise UserError(f"engine 'vllm' {obstacle}, or set engine to 'local'")
    serves = engine == "vllm" or (engine == "auto" and not obstacle and not is_small)
    return "vllm" if serves else "local"


def _obstacle(read: str, adapter: Path | None) -> str:
    """Why vLLM cannot serve this judge here, and what would mend it; empty where it can."""
    import torch

    if read != "greedy":
        return f"writes its replies and cannot read={read!r}: set read to 'greedy'"
    if adapter is not None and not (adapter / "adapter_config.json").is_file():
        return "serves LoRA adapters only: train with adapter 'lora'"
    if not torch.cuda.is_available():
        return "needs an NVIDIA GPU"
    if importlib.util.find_spec("vllm") is None:
        return "is not installed: pip install 'selene_lib[vllm]'"
    return ""


def vllm_command(
    model: str, adapter: Path | None, port: int, *, max_model_tokens: int | None, dtype: str
) -> list[str]:
    """The command that serves a base, with an adapter if there is one, under the name `judge`."""
    beside = Path(sys.executable).with_name("vllm")
    program = str(beside) if beside.exists() else shutil.which("vllm") or "vllm"
    command = [program, "serve", model, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--seed", "0", "--dtype", dtype, "--enable-prefix-caching"]
    if max_model_tokens is not None:
        command += ["--max-model-len", str(max_model_tokens)]
    if adapter is None:
        return [*command, "--served-model-name", SERVED_AS]
    command += ["--enable-lora", "--max-lora-rank", str(engine_lora_rank(adapter))]
    return [*command, "--lora-modules", f"{SERVED_AS}={adapter}"]


class LocalServer:
    """A server process of this machine that speaks the OpenAI protocol, until `close`."""

    def __init__(
        self,
        command: Callable[[int], Sequence[str]],
        log: Path,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Start `command(port)` and wait until it answers; its output goes to `log`.

        A UserError with the end of the log where it ends or stays silent instead.
        """
        self.log, port = log, _free_port()
        self.base_url = f"http://127.0.0.1:{port}/v1"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                list(command(port)), stdout=stream, stderr=subprocess.STDOUT, env=_environment()
            )
        atexit.register(self.close)
        try:
            self._wait(time.monotonic() + patience_seconds)
        except BaseException:
            self.close()
            raise

    def _wait(self, until: float) -> None:
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise UserError(f"the server ended before it answered: {self._last_lines()}")
            if _answers(f"{self.base_url}/models"):
                return
            time.sleep(0.5)
        raise UserError(f"the server did not answer in time: {self._last_lines()}")

    def _last_lines(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"{' / '.join(lines[-3:]) or 'it wrote nothing'} (all of it: {self.log})"

    def close(self) -> None:
        """End the server and wait for it."""
        atexit.unregister(self.close)
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class ServedJudge(ServerJudge):
    """Greedy verdicts of a server that was started for this judge.

    `identity` stands for weights and adapter: it takes the address's place in the fingerprint, so a
    run goes on under another port, and not with other weights. `tokenizer` counts prompt tokens and
    breaks up control tokens inside the texts, as a judge in this process does.
    """

    def __init__(
        self,
        server: LocalServer,
        tokenizer: Any,
        identity: str,
        *,
        name: str,
        max_new_tokens: int,
        max_prompt_tokens: int | None = None,
        max_concurrency: int = 256,
    ) -> None:
        super().__init__(
            server.base_url,
            SERVED_AS,
            name=name,
            api_key_env=_NO_KEY,
            max_new_tokens=max_new_tokens,
            max_prompt_tokens=max_prompt_tokens,
            max_concurrency=max_concurrency,
        )
        self.server, self.tokenizer = server, tokenizer
        self.older_fingerprints = ()
        self.fingerprint = digest(["served", identity, max_new_tokens, max_prompt_tokens])

    def close(self) -> None:
        """End the server."""
        self.server.close()

    def _request(self, prompt: Prompt) -> ChatRequest:
        return super()._request(replace(prompt, text=neutralise(self.tokenizer, prompt.text)))

    def _fit(self, prompt: Prompt) -> tuple[Prompt, int]:
        if self.max_prompt_tokens is None:
            return prompt, 0
        return shorten(prompt, self._count, self.max_prompt_tokens)

    def _count(self, text: str) -> int:
        return len(encode_chat(self.tokenizer, text, None))


def open_served(
    base_model: str,
    adapter: Path | None,
    *,
    name: str,
    max_new_tokens: int,
    max_prompt_tokens: int | None,
    dtype: str,
    log: Path,
) -> ServedJudge:
    """Start vLLM for one arm and return the judge it answers for."""
    from selene_lib.models.fingerprints import weights_hash
    from selene_lib.models.loading import choose_dtype, open_tokenizer
    from selene_lib.models.names import resolve_model

    path = resolve_model(base_model)
    kind = str(choose_dtype("cuda", dtype)).removeprefix("torch.")
    room = None if max_prompt_tokens is None else max_prompt_tokens + max_new_tokens
    parts = [weights_hash(path), weights_hash(str(adapter)) if adapter else "", kind, "vllm"]
    try:
        server = LocalServer(
            lambda port: vllm_command(path, adapter, port, max_model_tokens=room, dtype=kind), log
        )
    except UserError as error:
        raise UserError(f"{error}; engine 'local' judges without a server") from error
    return ServedJudge(
        server,
        open_tokenizer(path),
        digest(parts),
        name=name,
        max_new_tokens=max_new_tokens,
        max_prompt_tokens=max_prompt_tokens,
    )


def _environment() -> dict[str, str]:
    """The environment without what a server should not see: keys of hosted services."""
    return {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
