"""Stored replies are scored, replayed and read again only as what they are."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from judge_stub import stub_server

from selene_lib.errors import UserError
from selene_lib.evaluation.scoring.rescore import read_judgements, rescore
from selene_lib.files import read_jsonl, write_jsonl
from selene_lib.judges.judging import judge_samples, plan_questions
from selene_lib.judges.local import adapter_name
from selene_lib.judges.opening import open_judge
from selene_lib.judges.protocol import Reply
from selene_lib.judges.replay import ReplayJudge
from selene_lib.judges.server import ServerJudge
from selene_lib.models.asking import Line
from selene_lib.models.client import ChatRequest, ServerClient, checked_url
from selene_lib.models.fingerprints import weights_hash
from selene_lib.models.limits import Budget
from selene_lib.models.refusals import Dialect
from selene_lib.records import Judgement, Sample

ASKED = ChatRequest([{"role": "user", "content": "hello"}], 0.0, 9, 1)


class Says:
    """Answers every prompt with the verdict that its rule gives."""

    name, fingerprint = "says", "f"

    def __init__(self, rule) -> None:
        self.rule, self.n_asked = rule, 0

    def judge(self, prompts):
        self.n_asked += len(prompts)
        return [Reply(f"**Result:** {self.rule(p)}") for p in prompts]


def samples(rubric: str, n: int = 4) -> list[Sample]:
    return [
        Sample(f"s{i}", "t", "classification", f"do {i}", "done", rubric=rubric, label="Yes")
        for i in range(n)
    ]


def accuracy(rows) -> float | None:
    return next(row.value for row in rows if row.metric == "accuracy")


def test_replies_to_another_rubric_are_not_scored_and_mixtures_are_refused(tmp_path):
    store = tmp_path / "s.jsonl"
    right, wrong = samples("rubric one"), samples("rubric two")
    judge_samples(Says(lambda p: "Yes"), "own", right, store=store, progress=False)
    judge_samples(Says(lambda p: "No"), "own", wrong, store=store, progress=False)
    judge_samples(Says(lambda p: "Yes"), "own", right, store=store, progress=False)
    assert accuracy(rescore(right, read_judgements(store))) == 1.0
    assert accuracy(rescore(wrong, read_judgements(store))) == 0.0
    broken = [*wrong[:2], *samples("rubric three")[2:]]
    with pytest.raises(UserError, match="2 of 4 samples have replies to another prompt only"):
        rescore(broken, read_judgements(store))


def test_a_flipped_verdict_does_not_survive_even_without_a_checksum(tmp_path):
    store, mine = tmp_path / "s.jsonl", samples("r")
    judge = Says(lambda p: "Yes")
    found = judge_samples(judge, "own", mine, store=store, progress=False)
    write_jsonl(store, [replace(j, verdict="No") for j in found])
    assert judge_samples(judge, "own", mine, store=store, progress=False) == found
    assert judge.n_asked == 4 and read_judgements(store) == found


def test_a_damaged_line_is_moved_aside_and_asked_again(tmp_path, capsys):
    store, mine, judge = tmp_path / "s.jsonl", samples("r"), Says(lambda p: "Yes")
    found = judge_samples(judge, "own", mine, store=store, progress=False)
    lines = store.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"verdict": "Yes"', b'"verdict": "Nes"')
    store.write_bytes(b"".join(lines))
    with pytest.raises(UserError, match="line 2: its checksum does not fit"):
        read_judgements(store)
    assert judge_samples(judge, "own", mine, store=store, progress=False) == found
    assert judge.n_asked == 5 and "1 damaged line(s) (2)" in capsys.readouterr().err
    assert (tmp_path / "s.jsonl.damaged").read_bytes() == lines[1]
    assert len(read_jsonl(store, Judgement)) == 4


def test_replayed_duplicates_keep_their_own_replies(tmp_path):
    mine = [replace(s, instruction="same") for s in samples("r", 3)]
    told = [judgement_of(s, verdict) for s, verdict in zip(mine, ("Yes", "No", "Yes"), strict=True)]
    write_jsonl(tmp_path / "s.jsonl", told)
    replay = ReplayJudge.from_store(tmp_path / "s.jsonl")
    found = judge_samples(replay, "own", mine, store=tmp_path / "r.jsonl", progress=False)
    assert [j.verdict for j in found] == ["Yes", "No", "Yes"]
    renamed = [replace(s, id=f"new-{s.id}") for s in mine]
    again = ReplayJudge.from_store(tmp_path / "s.jsonl")
    found = judge_samples(again, "own", renamed, store=tmp_path / "n.jsonl", progress=False)
    assert [j.verdict for j in found] == ["Yes", "No", "Yes"]
    (tmp_path / "foreign.jsonl").write_text("hello\n")
    with pytest.raises(UserError, match="line 1: not JSON"):
        ReplayJudge.from_store(tmp_path / "foreign.jsonl")


def judgement_of(sample: Sample, verdict: str) -> Judgement:
    (question,) = plan_questions([sample])
    return Judgement(
        "says", "own", sample.id, sample.task, "AB", question.prompt.template,
        question.prompt.sha256, f"**Result:** {verdict}", "stop", "value", verdict,
    )  # fmt: skip


def test_another_address_is_another_judge(tmp_path):
    one, two = (ServerJudge(f"http://127.0.0.1:{port}/v1/", "m") for port in (8000, 8001))
    assert one.fingerprint != two.fingerprint
    assert one.fingerprint == ServerJudge("http://127.0.0.1:8000/v1", "m").fingerprint
    client = ServerClient("http://b/v1", "m")
    request = ChatRequest([{"role": "user", "content": "x"}])
    client.opened().put([{"key": client.key(request), "base_url": "http://a/v1", "text": ""}])
    with pytest.raises(UserError, match="came from http://a/v1, not from http://b/v1"):
        client.plan([request])


@pytest.mark.parametrize("key", ["sk-a\nb", "sk a", "sk-ä"])
def test_a_key_that_is_none_is_refused_without_being_shown(monkeypatch, key):
    monkeypatch.setenv("SELENE_TEST_KEY", key)
    line = Line("http://a/v1", "m", "SELENE_TEST_KEY", 1, Budget(), 1.0, 0, {})
    with pytest.raises(UserError, match="SELENE_TEST_KEY holds a space") as caught:
        line.api_key()
    assert key not in str(caught.value)
    monkeypatch.setenv("SELENE_TEST_KEY", " sk-fine\n")
    assert line.api_key() == "sk-fine"


def test_an_address_with_a_password_is_refused_without_showing_it():
    with pytest.raises(UserError, match="user name or password") as caught:
        checked_url("http://me:secret@host/v1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "http://h:99999/v1",
        "http://h:abc/v1",
        "http://h:0/v1",
        "http://[::1/v1",
        "http://h\n/v1",
        "http://h h/v1",
        "http://é..example/v1",
        "ftp://h/v1",
        "http:///v1",
    ],
)
def test_an_address_that_no_request_could_go_to_is_refused(address):
    with pytest.raises(UserError, match="is no address"):
        checked_url(address)
    with pytest.raises(UserError, match="is no address"):
        open_judge(f"{address}#m")


def test_an_address_may_be_written_in_capitals():
    assert open_judge("HTTP://localhost:8000/v1#m").client.base_url == "HTTP://localhost:8000/v1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5://me:secret@127.0.0.1:1"),
        ("HTTP_PROXY", "http://me:secret@h:bad"),
        ("ALL_PROXY", "ftp://me:secret@h"),
        ("SSL_CERT_FILE", "/secret/nowhere.pem"),
        ("OPENAI_ORG_ID", "org-secret\nx"),
        ("OPENAI_PROJECT_ID", "secreté"),
    ],
)
def test_an_environment_that_allows_no_request_is_named_without_what_it_holds(
    monkeypatch, name, value
):
    if name == "ALL_PROXY" and value.startswith("socks5") and find_spec("socksio"):
        pytest.skip("socks proxies work here")
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=name) as caught:
        ServerClient("http://127.0.0.1:9/v1", "m", progress=False).complete([ASKED])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"messages": []}, "holds messages, which this project sets itself"),
        ({"n": 3, "stream": True}, "holds n, stream"),
        ({"max_tokens": 9}, "holds max_tokens"),
        ({"a": float("nan")}, "cannot be sent as JSON"),
        ({"a": "\ud800"}, "cannot be sent as JSON"),
        ({"a": {1}}, "cannot be sent as JSON"),
    ],
)
def test_what_is_sent_beside_a_request_cannot_change_what_is_asked(body, words):
    with pytest.raises(UserError, match=words):
        ServerClient("http://h/v1", "m", extra_body=body)


def test_a_server_that_sends_requests_on_is_asked_once():
    elsewhere = pytest.raises(UserError, match=r"sends requests on to elsewhere \(HTTP 307\)")
    with stub_server(lambda asked: (307, {})) as stub, elsewhere:
        ServerClient(stub.address, "m", progress=False).complete([ASKED] * 3)
    assert len(stub.asked) == 1


def test_refused_settings_are_renamed_or_dropped_once():
    dialect, asked = Dialect(), ChatRequest([], 0.0, 9, 1, logprobs=10)
    sent = dialect.settings(asked)
    assert dialect.learn(
        "Unsupported parameter: 'max_tokens'; use 'max_completion_tokens'", "", sent
    )
    assert dialect.learn("temperature is not supported", "temperature", sent)
    assert dialect.learn("top_logprobs must be less than or equal to 5", "", sent)
    assert dialect.settings(asked) == {
        "max_completion_tokens": 9,
        "seed": 1,
        "logprobs": True,
        "top_logprobs": 5,
    }
    assert not dialect.learn("maximum context length is 9, you asked max_tokens 10", "", sent)
    assert len(dialect.notes) == 3


def test_models_that_differ_in_one_byte_of_what_decides_have_other_hashes(tmp_path):
    names = ("model.safetensors", "config.json", "tokenizer.model", "chat_template.jinja")
    for name in names:
        (tmp_path / name).write_bytes(bytes(40_000))
    seen = {weights_hash(str(tmp_path))}
    for name in names:  # also in the middle of large weights
        (tmp_path / name).write_bytes(bytes(20_000) + b"x" + bytes(19_999))
        seen.add(weights_hash(str(tmp_path)))
    assert len(seen) == 5
    (tmp_path / "README.md").write_text("a card decides nothing")
    assert weights_hash(str(tmp_path)) in seen
    assert weights_hash("someone/not-here") == "someone/not-here"


def test_the_adapters_of_a_run_have_names_of_their_own():
    assert adapter_name(Path("run/04_train_judge/adapters/dpo_nll-seed0")) == "dpo_nll-seed0"
    assert adapter_name(Path("run/arms/dpo-seed1/adapter")) == "dpo-seed1"
    assert adapter_name(None) == ""
