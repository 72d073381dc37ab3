"""The local judge against greedy `generate`, its early stop, probabilities, limits; replay; opening
a judge by name.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import tiny_judge
from replayed import replay_judge

from selene_lib.errors import UserError
from selene_lib.files import write_jsonl
from selene_lib.judges.draws import Sampler
from selene_lib.judges.judging import Asking, judge_samples, plan_questions
from selene_lib.judges.local import LocalJudge
from selene_lib.judges.opening import open_judge
from selene_lib.judges.probabilities import label_probabilities
from selene_lib.judges.protocol import JudgeBackend, Reply, batches_of
from selene_lib.judges.replay import ReplayJudge
from selene_lib.prompts.rendering import Prompt, render
from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import Sample

pytestmark = pytest.mark.slow

NANO = Asking("nano")


@pytest.fixture(scope="module")
def random_model(tmp_path_factory):
    return tiny_judge.build(tmp_path_factory.mktemp("random"))


@pytest.fixture(scope="module")
def taught_model(tmp_path_factory):
    return tiny_judge.train(tmp_path_factory.mktemp("taught"), n_steps=60)


def prompts(n: int) -> list[Prompt]:
    samples = [
        Sample(
            f"s{i}", "t", "absolute", "go " * (i % 5 + 1), "word " * (i * 7 % 23 + 1), rubric="good"
        )
        for i in range(n)
    ]
    return [render(s, family="nano") for s in samples]


def generate_one_by_one(judge: LocalJudge, prompt: Prompt) -> tuple[str, str]:
    import torch

    ids = torch.tensor([judge._encode(prompt)[0]])
    out = judge.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=judge.max_new_tokens,
        do_sample=False,
        pad_token_id=2,
    )
    new = out[0, ids.shape[1] :].tolist()
    return judge._decode([t for t in new if t != 1]).strip(), "stop" if new[-1] == 1 else "length"


def test_batched_replies_are_those_of_greedy_generate(random_model):
    judge = LocalJudge(random_model, max_new_tokens=24, batch_tokens=700, stop_at_verdict=False)
    items = prompts(17)
    assert len(judge.batches(items)) > 3
    replies = judge.judge(items)
    assert [(r.text, r.finish_reason) for r in replies] == [
        generate_one_by_one(judge, p) for p in items
    ]
    assert {r.finish_reason for r in replies} == {"stop", "length"}


def test_rows_leave_the_batch_without_disturbing_the_others(taught_model):
    judge = LocalJudge(taught_model, max_new_tokens=40)
    lessons = [(render(s, family="nano"), reply) for s, reply in tiny_judge.lessons()]
    together = judge.judge([p for p, _ in lessons])
    for (prompt, taught), reply in zip(lessons, together):
        assert judge.judge([prompt])[0].text == reply.text
        assert (
            parse_verdict(reply.text, prompt.task).value == parse_verdict(taught, prompt.task).value
        )


def test_a_reply_stops_once_its_verdict_line_is_written(taught_model):
    lessons = [
        (render(s, family="nano"), reply)
        for s, reply in tiny_judge.lessons()
        if s.task == "pairwise"
    ]
    short = LocalJudge(taught_model, max_new_tokens=40).judge([p for p, _ in lessons])
    whole = LocalJudge(taught_model, max_new_tokens=40, stop_at_verdict=False).judge(
        [p for p, _ in lessons]
    )
    for (prompt, taught), a, b in zip(lessons, short, whole):
        assert (
            b.text == taught
            and taught.startswith(a.text)
            and a.n_reply_tokens < b.n_reply_tokens
            and a.finish_reason == "stop"
        )
        assert parse_verdict(a.text, prompt.task) == parse_verdict(b.text, prompt.task)


def test_probabilities_stand_at_the_verdict_and_sum_to_one(taught_model):
    judge = LocalJudge(taught_model, max_new_tokens=40)
    for sample, _ in tiny_judge.lessons():
        (reply,) = judge.judge([render(sample, family="nano")])
        assert sum(reply.verdict_probs.values()) == pytest.approx(1, abs=1e-5)
        assert (
            max(reply.verdict_probs, key=reply.verdict_probs.get)
            == parse_verdict(reply.text, sample.task).value
        )


def test_probabilities_equal_a_plain_forward_pass(taught_model):
    import torch

    judge = LocalJudge(taught_model, max_new_tokens=40)
    sample = next(s for s, _ in tiny_judge.lessons() if s.task == "pairwise")
    prompt = render(sample, family="nano")
    (reply,) = judge.judge([prompt])
    tokens = judge.tokenizer.encode(reply.text, add_special_tokens=False)
    start = next(i for i in range(len(tokens)) if judge._decode(tokens[i:]).strip() == "A")
    ids = torch.tensor([judge._encode(prompt)[0] + tokens[:start]])
    logits = judge.model(ids).logits[0, -1]
    columns = [torch.logsumexp(logits[judge._watched[label]], 0) for label in ("A", "B")]
    assert reply.verdict_probs["A"] == pytest.approx(
        torch.softmax(torch.stack(columns), 0)[0].item(), abs=1e-4
    )


def test_no_verdict_no_probabilities(random_model):
    (reply,) = LocalJudge(random_model, max_new_tokens=6).judge(prompts(1))
    assert reply.verdict_probs is None


def test_the_plan_depends_on_all_prompts_and_covers_each_once(random_model):
    judge = LocalJudge(random_model, max_new_tokens=10, batch_tokens=600)
    items = prompts(20)
    plan = judge.batches(items)
    assert sorted(i for batch in plan for i in batch) == list(range(20))
    for batch in plan:
        longest = max(len(judge._encode(items[i])[0]) for i in batch)
        assert len(batch) == 1 or len(batch) * (longest + 10) <= 600
        assert judge.batches([items[i] for i in batch]) == [list(range(len(batch)))]


def test_an_overlong_prompt_has_its_response_cut_and_says_so(random_model):
    sample = Sample("long", "t", "absolute", "go", "word " * 400 + "end", rubric="good")
    judge = LocalJudge(random_model, max_new_tokens=4, max_prompt_tokens=400)
    (reply,) = judge.judge([render(sample, family="nano")])
    assert reply.n_prompt_tokens <= 400 and reply.meta["n_cut_characters"] > 500
    with pytest.raises(UserError, match="do not fit the model's 2048"):
        LocalJudge(random_model, max_new_tokens=4000)


def test_the_fingerprint_follows_weights_and_settings(random_model, taught_model):
    base = LocalJudge(random_model, max_new_tokens=8)
    assert base.fingerprint == LocalJudge(random_model, max_new_tokens=8).fingerprint
    assert (
        len(
            {
                base.fingerprint,
                LocalJudge(random_model, max_new_tokens=9).fingerprint,
                LocalJudge(taught_model, max_new_tokens=8).fingerprint,
            }
        )
        == 3
    )


def test_an_adapter_changes_the_verdicts_and_a_missing_one_is_named(random_model, tmp_path):
    from peft import LoraConfig, get_peft_model

    plain = LocalJudge(random_model, max_new_tokens=12)
    model = get_peft_model(
        plain.model,
        LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False),
    )
    model.save_pretrained(tmp_path / "arm" / "adapter")
    judge = LocalJudge(random_model, adapter=tmp_path / "arm" / "adapter", max_new_tokens=12)
    assert judge.name == "arm" and not hasattr(judge.model, "peft_config")
    expected = [
        judge._decode(row).strip()
        for row in _greedy_by_hand(model.eval(), [judge._encode(p)[0] for p in prompts(3)])
    ]
    assert [r.text for r in judge.judge(prompts(3))] == expected
    wider = tiny_judge.build(tmp_path / "wider", hidden=64)
    with pytest.raises(UserError, match="does not fit the model"):
        LocalJudge(wider, adapter=tmp_path / "arm" / "adapter")
    with pytest.raises(UserError, match=r"adapter_config.json is missing"):
        LocalJudge(random_model, adapter=tmp_path / "none")


def _greedy_by_hand(model, rows):
    import torch

    for row in rows:
        ids = list(row)
        for _ in range(12):
            with torch.inference_mode():
                token = int(model(torch.tensor([ids])).logits[0, -1].argmax())
            if token == 1:
                break
            ids.append(token)
        yield ids[len(row) :]


def test_four_bit_weights_judge_on_the_cpu(random_model):
    bitsandbytes = pytest.importorskip("bitsandbytes")
    judge = LocalJudge(random_model, max_new_tokens=4, quantisation="nf4")
    assert any(isinstance(m, bitsandbytes.nn.Linear4bit) for m in judge.model.modules())
    assert len(judge.judge(prompts(2))) == 2


def test_a_model_that_is_not_there_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="cannot load model"):
        LocalJudge(tmp_path / "nothing")


def test_out_of_memory_halves_the_batch(random_model, monkeypatch):
    import torch

    judge = LocalJudge(random_model, max_new_tokens=5)
    expected = [r.text for r in judge.judge(prompts(6))]
    sizes, whole = [], judge._generate

    def tight(asked, rows):
        sizes.append(len(rows))
        if len(rows) > 2:
            raise torch.OutOfMemoryError("no room")
        return whole(asked, rows)

    monkeypatch.setattr(judge, "_generate", tight)
    assert [r.text for r in judge.judge(prompts(6))] == expected and sizes == [6, 3, 1, 2, 3, 1, 2]


def test_label_probabilities_from_listed_alternatives():
    steps = [
        ("**", {}),
        ("Result", {}),
        (":**", {}),
        (" ", {}),
        ("A", {"A": -0.1, "B": -2.4, " B": -5.0, "The": -4.0}),
    ]
    probs = label_probabilities("pairwise", steps)
    a, b = 2.718281828**-0.1, 2.718281828**-2.4 + 2.718281828**-5.0
    assert probs["A"] == pytest.approx(a / (a + b), abs=1e-5) and sum(
        probs.values()
    ) == pytest.approx(1)
    assert label_probabilities("pairwise", steps[:4]) is None
    assert label_probabilities("absolute", steps) is None
    assert (
        label_probabilities(
            "classification",
            [("**Result:**", {}), (" Y", {" Y": -0.2, " N": -1.7}), ("es", {"es": 0.0})],
        )["Yes"]
        > 0.8
    )


def test_replay_gives_back_what_was_stored_and_invents_nothing(tmp_path):
    samples = [
        Sample("a", "t", "pairwise", "go", "one", "two", label="A"),
        Sample("b", "t", "absolute", "go", "one", label="2"),
    ]
    judge = replay_judge(
        "human",
        samples,
        {("a", "AB"): "**Result:** A", ("a", "BA"): "**Result:** B", ("b", "AB"): "**Result:** 2"},
    )
    found = judge_samples(judge, "toy", samples, store=tmp_path / "toy.jsonl", progress=False)
    assert [(j.sample_id, j.order, j.verdict) for j in found] == [
        ("a", "AB", "A"),
        ("a", "BA", "B"),
        ("b", "AB", "2"),
    ]
    again = ReplayJudge.from_store(tmp_path / "toy.jsonl")
    assert again.name == "human" and again.judge(
        [q.prompt for q in plan_questions(samples)]
    ) == judge.judge([q.prompt for q in plan_questions(samples)])
    with pytest.raises(UserError, match="no stored reply for 1 of 1"):
        judge.judge([Prompt("something else", "absolute", "x")])
    write_jsonl(
        tmp_path / "two.jsonl",
        [*found, *[type(j)(**{**j.__dict__, "judge": "other"}) for j in found]],
    )
    with pytest.raises(UserError, match="judges there: human, other"):
        ReplayJudge.from_store(tmp_path / "two.jsonl")
    assert ReplayJudge.from_store(tmp_path / "two.jsonl", judge="other").name == "other"
    with pytest.raises(UserError, match="no stored replies"):
        ReplayJudge.from_store(tmp_path / "none.jsonl")


def test_judges_open_by_name(random_model, tmp_path, monkeypatch):
    assert isinstance(open_judge(str(random_model), max_new_tokens=5, adapter=None), LocalJudge)
    assert isinstance(open_judge(str(random_model)), JudgeBackend)
    with pytest.raises(UserError, match="after a '#'"):
        open_judge("http://localhost:8000/v1")
    with pytest.raises(UserError, match="no stored replies"):
        open_judge(f"replay:{tmp_path / 'none.jsonl'}")
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match="vLLM is not installed"):
        open_judge("vllm:some/model")


def test_plain_slices_for_a_judge_without_a_plan():
    assert batches_of(ReplayJudge("r", {"0": Reply("x")}), prompts(5), size=2) == [
        [0, 1],
        [2, 3],
        [4],
    ]


@pytest.fixture
def server():
    """A real HTTP server on loopback that judges by a rule, gives log-probs, and knows one key."""
    import json
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.headers["Authorization"] != "Bearer right":
                return self.answer(401, {"error": {"message": "bad key"}})
            text = body["messages"][0]["content"]
            asked.append(text)
            tokens = ["**", "Result", ":**", " ", "4" if "odd" in text else "2"]
            top = [{"token": "4", "logprob": -0.22}, {"token": "2", "logprob": -1.61}]
            steps = [{"token": t, "logprob": -0.1, "top_logprobs": []} for t in tokens[:-1]]
            steps.append(
                {
                    "token": tokens[-1],
                    "logprob": -0.22 if "odd" in text else -1.61,
                    "top_logprobs": top,
                }
            )
            choice = {
                "message": {"role": "assistant", "content": "".join(tokens)},
                "finish_reason": "stop",
                "logprobs": {"content": steps},
            }
            usage = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}
            return self.answer(
                200,
                {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 0,
                    "model": "m",
                    "choices": [choice],
                    "usage": usage,
                },
            )

        def answer(self, status, value):
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}/v1", asked
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def scored(texts: list[str]) -> list[Prompt]:
    return [
        render(Sample(f"s{i}", "t", "absolute", "go", text, rubric="good"))
        for i, text in enumerate(texts)
    ]


def test_a_served_model_judges_once_per_prompt(server, tmp_path, monkeypatch):
    address, asked = server
    monkeypatch.setenv("OPENAI_API_KEY", "right")
    judge = open_judge(
        f"{address}#org/m",
        store=tmp_path / "paid.jsonl",
        max_retries=1,
        usd_per_million_prompt_tokens=1000.0,
    )
    replies = judge.judge(scored(["odd", "even", "odd"]))
    assert [r.text for r in replies] == ["**Result:** 4", "**Result:** 2", "**Result:** 4"] and len(
        asked
    ) == 2
    assert replies[0].verdict_probs["4"] == pytest.approx(0.8, abs=0.01) and replies[
        1
    ].verdict_probs["2"] == pytest.approx(0.2, abs=0.01)
    assert (replies[0].n_prompt_tokens, replies[0].n_reply_tokens) == (
        100,
        5,
    ) and judge.spent_usd == pytest.approx(0.2)
    judge.client.opened().close()
    again = open_judge(f"{address}#org/m", store=tmp_path / "paid.jsonl", max_retries=1)
    assert [r.text for r in again.judge(scored(["odd", "even"]))] == [
        "**Result:** 4",
        "**Result:** 2",
    ] and len(asked) == 2
    assert "right" not in (tmp_path / "paid.jsonl").read_text()


def test_a_wrong_key_and_a_silent_server_are_user_errors_of_one_line(server, monkeypatch):
    address, _ = server
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with pytest.raises(UserError, match="refuses the key") as caught:
        open_judge(f"{address}#m", max_retries=0).judge(scored(["odd"]))
    assert "\n" not in str(caught.value) and "wrong" not in str(caught.value)
    with pytest.raises(UserError, match=r"no answer from http://127.0.0.1:9/v1"):
        open_judge("http://127.0.0.1:9/v1#m", max_retries=0).judge(scored(["odd"]))


def test_a_served_judge_cuts_long_responses_where_asked(server, monkeypatch):
    address, asked = server
    monkeypatch.setenv("OPENAI_API_KEY", "right")
    (reply,) = open_judge(f"{address}#m", max_prompt_tokens=500).judge(scored(["odd " * 2000]))
    assert (
        reply.meta["n_cut_characters"] > 5000
        and len(asked[0]) <= 2000
        and asked[0].endswith("[good]")
    )
    with pytest.raises(UserError, match="does not fit 50 tokens"):
        open_judge(f"{address}#m", max_prompt_tokens=50).judge(scored(["odd"]))


def test_shared_prefixes_are_found_at_two_levels():
    from selene_lib.judges.prefixes import shared_prefixes

    head, item_a, item_b = list(range(40)), list(range(100, 130)), list(range(200, 230))
    rows = [
        head + item_a + [1],
        head + item_b + [2],
        head + item_a + [3, 4],
        head + item_b + [5],
        [*head, 9],
    ]
    plan = shared_prefixes(rows, min_saved=10)
    assert plan.common == 40 and plan.saved_by_common == 160 and plan.saved_by_groups == 60
    assert {(g.rows, g.end) for g in plan.groups if len(g.rows) > 1} == {((0, 2), 70), ((1, 3), 70)}
    assert sorted(i for g in plan.groups for i in g.rows) == list(range(5))
    assert shared_prefixes(rows, min_saved=1000).common == 0
    assert shared_prefixes([[1, 2], [1, 2]], min_saved=0, min_group=1).common == 1


def test_sharing_prefixes_changes_no_reply(taught_model, random_model):
    from selene_lib.judges.decoding import greedy

    for model in (taught_model, random_model):
        judge = LocalJudge(model, max_new_tokens=20)
        samples = [
            Sample(
                f"s{i}",
                "t",
                "pairwise",
                "go " * (i % 3 + 1),
                f"one {i} " * 4,
                f"two {i} " * 9,
                rubric="kind",
            )
            for i in range(5)
        ]
        rows = [judge._encode(q.prompt)[0] for q in plan_questions(samples)]
        settings = {"max_new_tokens": 20, "end_ids": [1], "pad_id": 2, "watch_ids": [5, 6]}
        shared, apart = (
            greedy(judge.model, rows, **settings),
            greedy(judge.model, rows, share=False, **settings),
        )
        assert [r.ids for r in shared] == [r.ids for r in apart]
        for a, b in zip(shared, apart):
            assert (a.watched - b.watched).abs().max() < 1e-3


@pytest.mark.parametrize("share_left", [0.0, 0.3, 0.55, 0.9])
def test_a_broken_run_ends_in_the_same_bytes(taught_model, tmp_path, share_left):
    samples = [s for s, _ in tiny_judge.lessons()]
    judge = LocalJudge(taught_model, name="taught", max_new_tokens=20, batch_tokens=400)
    assert len(judge.batches([q.prompt for q in plan_questions(samples, NANO)])) > 3
    found = judge_samples(
        judge, "toy", samples, NANO, store=tmp_path / "whole.jsonl", progress=False
    )
    whole = (tmp_path / "whole.jsonl").read_bytes()
    (tmp_path / "broken.jsonl").write_bytes(whole[: int(len(whole) * share_left)])
    assert (
        judge_samples(judge, "toy", samples, NANO, store=tmp_path / "broken.jsonl", progress=False)
        == found
    )


def test_the_generate_path_for_unsloth_gives_the_same_replies_on_plain_models(
    taught_model, random_model, monkeypatch
):
    """Unsloth itself needs a GPU; what this project adds around its `generate` is tested on the
    plain one.
    """
    from selene_lib.judges.unsloth import UnslothJudge

    with pytest.raises(UserError, match="Unsloth needs an NVIDIA GPU"):
        open_judge(f"unsloth:{taught_model}")
    monkeypatch.setattr(UnslothJudge, "_open", LocalJudge._open)
    lessons = [render(s, family="nano") for s, _ in tiny_judge.lessons()]
    for model, items in ((taught_model, lessons), (random_model, prompts(6))):
        ours, theirs = (
            kind(model, max_new_tokens=24).judge(items) for kind in (LocalJudge, UnslothJudge)
        )
        assert [(r.text, r.finish_reason) for r in ours] == [
            (r.text, r.finish_reason) for r in theirs
        ]
        for a, b in zip(ours, theirs):
            assert (a.verdict_probs is None) == (b.verdict_probs is None)
            assert a.verdict_probs is None or a.verdict_probs == pytest.approx(
                b.verdict_probs, abs=1e-4
            )


def drawn(n: int) -> list[Prompt]:
    return [replace(prompt, draw=i) for prompt in prompts(4) for i in range(1, n + 1)]


def test_each_draw_has_random_numbers_of_its_own_whatever_the_batch(random_model):
    judge = LocalJudge(random_model, max_new_tokens=6, temperature=1.0)
    asked = drawn(5)
    together = [reply.text for reply in judge.judge(asked)]
    alone = [judge.judge([prompt])[0].text for prompt in asked[::-1]][::-1]
    assert together == alone
    assert len(set(together)) > 15, "the same question is asked anew"
    other = LocalJudge(random_model, max_new_tokens=6, temperature=1.0, seed=1)
    assert [reply.text for reply in other.judge(asked)] != together
    assert other.fingerprint != judge.fingerprint != LocalJudge(random_model).fingerprint


def test_draws_have_the_models_probabilities(random_model):
    import torch

    judge = LocalJudge(random_model, max_new_tokens=1, temperature=0.7)
    (prompt,) = prompts(1)
    logits = judge.model(torch.tensor([judge._encode(prompt)[0]])).logits[0, -1].double()
    likely = torch.softmax(logits / 0.7, 0)
    sampler = Sampler([replace(prompt, draw=i) for i in range(1, 3001)], 0.7, 0)
    rows = logits.expand(3000, -1)
    ids = sampler(range(3000), rows)[:, 0]
    top = likely.topk(5)
    for token, p in zip(top.indices.tolist(), top.values.tolist()):
        share = (ids == token).double().mean().item()
        print(f"token {token}: drawn {share:.4f}, probability {p:.4f}")
        assert abs(share - p) < 4 * (p * (1 - p) / 3000) ** 0.5


def test_ten_and_one_are_told_apart_only_where_a_tokenizer_can():
    def step(word, *others):
        return (word, dict(zip((word, *others), (-0.1, -2.0, -3.0))))

    opening = [("**Result:** ", {})]
    probs = label_probabilities("absolute 1-10", [*opening, step("10", "1", "9")])
    assert list(probs) == [str(i) for i in range(1, 11)] and probs["10"] > probs["1"] > probs["9"]
    assert label_probabilities("absolute 1-10", [*opening, step("1", "9"), step("0")]) is None
    assert label_probabilities("absolute 0-1", [*opening, step("1", "0")])["1"] > 0.8
