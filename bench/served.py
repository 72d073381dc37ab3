"""What a served judge costs beside the bare `openai` client, on the same stub server.

    python bench/served.py [--requests 4000] [--connections 64] [--repeats 3] [--json]

Both ask the same prompts with the same settings over as many connections, each in a process of its
own, in turns. Ours also renders the prompts, reads the verdicts and appends every reply to a file;
its first request goes out alone, which a short run feels. Printed are the ratio of their requests a
second (by the clock, and by CPU time, which other work on the machine disturbs less) and the
difference of their CPU time a request, as medians; once with plain replies, once with replies that
carry log-probabilities. The stub answers after 50 ms, so that a client has more to do than it can
and its own work is what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
GOALS = {"throughput_ratio": 0.9, "own_cpu_ms_a_request": 0.3}


@contextmanager
def stub(*, logprobs: bool, delay_seconds: float = 0.05) -> Iterator[str]:
    """Run the stub server in a process of its own; yields its address."""
    command = [sys.executable, str(HERE / "stub_server.py"), "--delay", str(delay_seconds)]
    command += ["--logprobs"] if logprobs else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.kill()
        process.communicate()


def samples(n: int) -> list:
    """Yes/No items of some 1,000 characters, all different."""
    from selene_lib.records import Sample

    rubric = "Does the answer solve the problem?\nYes: it does\nNo: it does not"
    return [
        Sample(
            f"s{i}",
            "bench",
            "classification",
            f"Question {i}?",
            f"Answer {i}. " * 40,
            rubric=rubric,
        )
        for i in range(n)
    ]


def bare(base_url: str, n: int, connections: int) -> None:
    """The prompts of `samples`, asked with nothing but the client."""
    import openai

    from selene_lib.judges.judging import plan_questions

    prompts = iter([question.prompt.text for question in plan_questions(samples(n))])

    async def worker(client: openai.AsyncOpenAI) -> None:
        for text in prompts:
            answer = await client.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": text}],
                temperature=0.0,
                max_tokens=2048,
                seed=0,
                logprobs=True,
                top_logprobs=10,
            )
            assert answer.choices[0].message.content

    async def work() -> None:
        async with openai.AsyncOpenAI(base_url=base_url, api_key="none") as client:
            await asyncio.gather(*[worker(client) for _ in range(connections)])

    timed(lambda: asyncio.run(work()))


def ours(base_url: str, n: int, connections: int) -> None:
    """The same items through a served judge with a store on disk."""
    from selene_lib.judges.judging import judge_samples
    from selene_lib.judges.server import ServerJudge

    items = samples(n)
    judge = ServerJudge(base_url, "m", max_concurrency=connections)
    with tempfile.TemporaryDirectory() as folder:

        def work() -> None:
            store = Path(folder) / "replies.jsonl"
            found = judge_samples(judge, "bench", items, store=store, progress=False)
            assert all(judgement.verdict == "Yes" for judgement in found)

        timed(work)


def timed(work) -> None:
    """Print wall and CPU seconds of the work; what it imports is imported before."""
    import openai.resources.chat.completions  # noqa: F401
    import tqdm.auto  # noqa: F401

    wall, cpu = time.perf_counter(), time.process_time()
    work()
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))


def in_a_process(who: str, base_url: str, n: int, connections: int) -> tuple[float, float]:
    command = [sys.executable, __file__, "--child", who, base_url]
    command += ["--requests", str(n), "--connections", str(connections)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wall, cpu = json.loads(done.stdout.splitlines()[-1])
    return wall, cpu


def measure(n: int, connections: int, repeats: int, *, logprobs: bool) -> dict[str, float]:
    """Requests a second and CPU milliseconds a request of both, and how they compare."""
    taken: dict[str, list[tuple[float, float]]] = {"bare": [], "ours": []}
    with stub(logprobs=logprobs) as base_url:
        for number in range(repeats):  # each first in turn, since the machine may be shared
            for who in sorted(taken, reverse=bool(number % 2)):
                taken[who].append(in_a_process(who, base_url, n, connections))
    rate = {who: n / statistics.median(wall for wall, _ in taken[who]) for who in taken}
    cpu = {who: 1000 * statistics.median(cpu for _, cpu in taken[who]) / n for who in taken}
    both = list(zip(taken["bare"], taken["ours"], strict=True))
    return {
        "bare_requests_per_s": rate["bare"],
        "our_requests_per_s": rate["ours"],
        "throughput_ratio": statistics.median(one[0] / two[0] for one, two in both),
        "cpu_ratio": statistics.median(one[1] / two[1] for one, two in both),
        "bare_cpu_ms_a_request": cpu["bare"],
        "our_cpu_ms_a_request": cpu["ours"],
        "own_cpu_ms_a_request": cpu["ours"] - cpu["bare"],
    }


def bench_served(n: int = 4000, connections: int = 64, repeats: int = 3) -> dict[str, dict]:
    return {
        "plain replies": measure(n, connections, repeats, logprobs=False),
        "with log-probabilities": measure(n, connections, repeats, logprobs=True),
    }


def as_text(result: dict[str, dict], connections: int = 64) -> str:
    lines = []
    for what, row in result.items():
        lines.append(
            f"served judge, {connections} connections, {what}: {row['our_requests_per_s']:.0f} "
            f"requests/s, {row['throughput_ratio']:.2f}x the bare client's "
            f"{row['bare_requests_per_s']:.0f} (goal {GOALS['throughput_ratio']}), "
            f"{row['cpu_ratio']:.2f}x a CPU second; own CPU "
            f"{row['own_cpu_ms_a_request']:+.2f} ms a request, {row['our_cpu_ms_a_request']:.2f} "
            f"beside {row['bare_cpu_ms_a_request']:.2f} (goal {GOALS['own_cpu_ms_a_request']})"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        who, base_url = given.child
        {"bare": bare, "ours": ours}[who](base_url, given.requests, given.connections)
        return
    result = bench_served(given.requests, given.connections, given.repeats)
    print(json.dumps(result, indent=1) if given.json else as_text(result, given.connections))


if __name__ == "__main__":
    main()
