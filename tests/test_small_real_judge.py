"""What stands in a small real model's way: marks of the roles, verdicts by log-probability, prompts
that cannot be cut, jobs side by side, publishers' files by one command.
"""

from __future__ import annotations

import http.server
import threading
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import tiny_gguf
import tiny_judge
from typer.testing import CliRunner

from selene_lib.data import fetching
from selene_lib.errors import UserError
from selene_lib.files import sha256_file
from selene_lib.judge import Judge
from selene_lib.judges.judging import Asking, judge_samples
from selene_lib.judges.labels import label_starts
from selene_lib.judges.local import LocalJudge
from selene_lib.judges.opening import Limits
from selene_lib.models import packaged, parallel
from selene_lib.models.loading import choose_dtype
from selene_lib.prompts.chat import encode_chat
from selene_lib.prompts.rendering import TEMPLATE_FOLDER, load_template, render
from selene_lib.records import LABELS, TASKS, Sample
from selene_lib.steps.domains import DomainStudy, ask_judges

pytestmark = pytest.mark.slow


VERDICT = Asking("nano", critique=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model whose tokenizer opens every message with its BOS, as SmolLM2's does."""
    root = tmp_path_factory.mktemp("bos")
    gguf = tiny_gguf.write_gguf(root / "tiny.gguf")
    packaged.write_transformers_folder(gguf, root / "model")
    return root / "model"


def samples(n: int = 6, **changes) -> list[Sample]:
    made = []
    for i in range(n):
        task = TASKS[i % 3]
        base = Sample(
            f"s{i}",
            "made",
            task,
            f"the request {i}",
            f"the answer {i}",
            "the other" if task == "pairwise" else None,
            rubric="Is it right?",
            label=LABELS[task][0],
        )
        made.append(replace(base, **changes))
    return made


# ---- BOS


def test_every_role_keeps_its_mark(folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = tokenizer.decode(encode_chat(tokenizer, "the 12", "Yes"))
    roles = ("system", "user", "assistant")
    assert [text.count(f"<|im_start|>{role}") for role in roles] == [1, 1, 1]
    assert text.endswith("Yes<|im_end|>")


def test_a_doubled_bos_in_front_becomes_one(folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "<|im_start|>" + tokenizer.chat_template
    ids = encode_chat(tokenizer, "the", None)
    assert ids[0] == tokenizer.bos_token_id != ids[1]
    assert ids.count(tokenizer.bos_token_id) == 3


# ---- lean templates


@pytest.mark.parametrize("name", sorted(p.stem for p in (TEMPLATE_FOLDER / "full").glob("*.txt")))
def test_the_lean_family_has_every_template_and_is_short(name):
    lean, full = load_template("lean", name), load_template("full", name)
    assert len(lean) < len(full) / 2 or name.startswith("reply_")
    if name.startswith("reply_"):
        assert "**Result:**" in lean
        assert ("**Reasoning:**" in lean) == name.startswith("reply_critique")


def test_a_lean_verdict_prompt_asks_for_the_verdict_alone():
    prompt = render(samples()[1], family="lean", critique=False)
    assert "Reasoning" not in prompt.text and "**Result:**" in prompt.text
    assert prompt.template == "lean/classification+verdict"


# ---- reading the verdict by log-probability


@pytest.mark.parametrize("task", TASKS)
def test_labels_part_at_one_token_each(folder, task):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    starts = label_starts(tokenizer, task)
    assert tuple(starts.first_ids) == LABELS[task]
    assert len(set(starts.first_ids.values())) == len(LABELS[task])
    assert tokenizer.decode(starts.before).strip().startswith("**Result:**")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return tiny_judge.train(tmp_path_factory.mktemp("trained"))


def test_log_probabilities_are_those_of_a_plain_forward(trained, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    judge = LocalJudge(trained, name="t", read="logprob", max_prompt_tokens=1000)
    items = [s for s, _ in tiny_judge.lessons()]
    found = judge_samples(judge, "s", items, VERDICT, store=tmp_path / "s.jsonl", progress=False)
    tokenizer = AutoTokenizer.from_pretrained(trained)
    model = AutoModelForCausalLM.from_pretrained(trained, dtype=torch.float32)
    for judgement in found:
        item = next(s for s in items if s.id == judgement.sample_id)
        shown = item if judgement.order == "AB" else item.swap()
        prompt = render(shown, family="nano", critique=False)
        starts = label_starts(tokenizer, item.task)
        ids = [*encode_chat(tokenizer, prompt.text, None), *starts.before]
        logits = model(torch.tensor([ids])).logits[0, -1]
        expected = torch.softmax(logits[list(starts.first_ids.values())], 0).tolist()
        assert judgement.status == "value" and judgement.meta["read"] == "logprob"
        assert list(judgement.verdict_probs.values()) == pytest.approx(expected, abs=1e-4)
        assert judgement.verdict == max(judgement.verdict_probs, key=judgement.verdict_probs.get), (
            "the more probable label"
        )
        assert judgement.n_reply_tokens == 0


def test_greedy_writes_what_the_log_probabilities_say(trained, tmp_path):
    """A model taught to answer with the verdict alone: greedy is the check of the reading."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    items = [s for s, _ in tiny_judge.lessons() if s.task == "classification"]
    tokenizer = AutoTokenizer.from_pretrained(trained)
    model = AutoModelForCausalLM.from_pretrained(trained, dtype=torch.float32)
    rows = []
    for item in items:
        prompt = render(item, family="nano", critique=False).text
        rows.append(encode_chat(tokenizer, prompt, f"**Result:** {item.label}"))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        for row in rows:
            ids = torch.tensor([row])
            model(input_ids=ids, labels=ids).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    verdicts = {}
    for read in ("greedy", "logprob"):
        judge = LocalJudge(tmp_path / "model", name=read, read=read)
        store = tmp_path / f"{read}.jsonl"
        found = judge_samples(judge, "s", items, VERDICT, store=store, progress=False)
        verdicts[read] = [j.verdict for j in found]
    assert verdicts["greedy"] == verdicts["logprob"]
    assert None not in verdicts["greedy"]


def test_batches_of_a_reading_judge_have_no_room_for_a_reply(trained):
    prompts = [render(s, family="nano", critique=False) for s in samples(60)]
    sizes = {}
    for read in ("greedy", "logprob"):
        judge = LocalJudge(trained, read=read, batch_tokens=600, max_new_tokens=110)
        longest = max(len(judge._encode(prompt)[0]) for prompt in prompts)
        sizes[read] = max(map(len, judge.batches(prompts)))
        assert sizes[read] * (longest + 110 * (read == "greedy")) <= 600 + 110 + longest
    assert sizes["logprob"] > sizes["greedy"]


def test_what_is_read_is_part_of_who_judges(folder):
    prints = {r: LocalJudge(folder, read=r).fingerprint for r in ("greedy", "logprob")}
    assert prints["greedy"] != prints["logprob"]
    with pytest.raises(UserError, match="greedy, logprob"):
        LocalJudge(folder, read="guess")


def test_the_public_face_takes_reply_and_read(folder):
    judge = Judge(str(folder), family="lean", reply="verdict", read="logprob")
    found = judge.score("the answer", instruction="the", rubric="Right?", task="classification")
    assert found.verdict in (True, False) and 0.5 <= found.confidence <= 1
    assert "+verdict" in found.judgements[0].template
    with pytest.raises(UserError, match="critique, verdict"):
        Judge(str(folder), reply="essay")


# ---- prompts that cannot be cut


@pytest.mark.parametrize("read", ["greedy", "logprob"])
def test_a_prompt_that_cannot_be_cut_is_that_items_status(folder, tmp_path, read):
    long = replace(samples()[1], id="long", rubric="word " * 400)
    items = [samples()[0], long, samples()[4]]
    judge = LocalJudge(folder, name="t", read=read, max_new_tokens=4, max_prompt_tokens=300)
    store = tmp_path / "s.jsonl"
    found = judge_samples(judge, "s", items, VERDICT, store=store, progress=False)
    assert [j.status == "failed" for j in found] == [False, True, False]
    assert "does not fit 300" in found[1].meta["reason"] and found[1].verdict is None
    again = judge_samples(judge, "s", items, VERDICT, store=store, progress=False)
    assert again == found, "it stands in the store and is not asked again"


# ---- precision


def test_native_precision_asks_the_cpu(monkeypatch):
    import torch

    from selene_lib.models import loading

    for here, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(loading, "cpu_computes_bf16", lambda here=here: here)
        assert choose_dtype("cpu", "native") == expected
    assert choose_dtype("cpu") == choose_dtype("cpu", "auto") == torch.float32
    for capability, expected in (((7, 5), torch.float16), ((8, 0), torch.bfloat16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, c=capability: c)
        assert choose_dtype("cuda", "auto") == choose_dtype("cuda") == expected
    with pytest.raises(UserError, match="native"):
        choose_dtype("cpu", "int8")


# ---- side by side


def test_jobs_side_by_side_fit_in_memory(folder, monkeypatch):
    gigabyte = 10**9
    monkeypatch.setattr(parallel, "free_bytes", lambda: 4 * gigabyte)
    assert parallel.jobs_at_once(3, str(folder), 8) == 2, "1.5 GB a job beside the weights"
    monkeypatch.setattr(parallel, "free_bytes", lambda: gigabyte)
    assert parallel.jobs_at_once(3, str(folder), 8) == 1
    assert parallel.jobs_at_once(3, "embedded", 2) == 2
    assert parallel.jobs_at_once(3, "some/hub-id", 8) == 1


# ---- publishers' files


CONTENT = {f"file{i}.csv": f"a,b\n{i},x\n".encode() * 2000 for i in range(3)}


class Files(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; breaks off after `stop_after` bytes where that is set; knows ranges."""

    stop_after = 0
    asked: ClassVar[list] = []

    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        begin = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        Files.asked.append((self.path, begin))
        if name not in CONTENT:
            self.send_error(404)
            return
        body = CONTENT[name][begin:]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: Files.stop_after] if Files.stop_after else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    monkeypatch.setenv("SELENE_FILES_URL", f"http://127.0.0.1:{running.server_port}")
    Files.stop_after, Files.asked = 0, []
    yield running
    running.shutdown()


def published(tmp_path: Path) -> list[fetching.PublishedFile]:
    files = []
    for name, content in CONTENT.items():
        path = tmp_path / name
        path.write_bytes(content)
        files.append(
            fetching.PublishedFile(
                f"xstest/{name}", "owner/repo", "a" * 40, f"data/{name}", len(content), ""
            )
        )
        files[-1] = replace(files[-1], sha256=sha256_file(path))
    return files


def test_files_are_fetched_checked_and_not_fetched_twice(server, tmp_path):
    files = published(tmp_path)
    assert fetching.fetch_files(files, tmp_path / "data") == 3
    for file in files:
        assert sha256_file(tmp_path / "data" / file.file) == file.sha256
    assert Files.asked[0][0] == f"/owner/repo/{'a' * 40}/data/file0.csv"
    assert fetching.fetch_files(files, tmp_path / "data") == 0 and len(Files.asked) == 3


def test_a_broken_transfer_goes_on_where_it_was(server, tmp_path):
    files = published(tmp_path)[:1]
    Files.stop_after = 1000
    with pytest.raises(UserError, match=r"broke off after 1000|cannot be fetched"):
        fetching.fetch_files(files, tmp_path / "data")
    Files.stop_after = 0
    assert fetching.fetch_files(files, tmp_path / "data") == 1
    assert Files.asked[-1][1] > 0, "only the rest was asked for"
    assert sha256_file(tmp_path / "data" / files[0].file) == files[0].sha256


def test_another_content_or_no_server_is_said(server, tmp_path):
    files = published(tmp_path)
    wrong = replace(files[0], sha256="0" * 64)
    with pytest.raises(UserError, match="published is 0000"):
        fetching.fetch_files([wrong], tmp_path / "data")
    assert not list((tmp_path / "data").rglob("*.part")), "nothing wrong is kept"
    absent = replace(files[0], path="data/absent.csv")
    with pytest.raises(UserError, match="404") as caught:
        fetching.fetch_files([absent], tmp_path / "data")
    assert "\n" not in str(caught.value)


def test_the_bundle_names_commits_hashes_and_licences(tmp_path):
    files = fetching.bundle_files("laptop")
    assert all(len(f.commit) == 40 and len(f.sha256) == 64 and f.n_bytes > 0 for f in files)
    assert len({f.file for f in files}) == len(files)
    text = "\n".join(fetching.licence_lines(files))
    for repository, licence in (("exaggerated-safety", "CC BY 4.0"), ("HaluEval", "MIT")):
        assert any(repository in line and licence in line for line in text.splitlines())
    with pytest.raises(UserError, match="there are laptop"):
        fetching.bundle_files("desk")


def test_the_bundle_is_what_the_data_folder_holds(data_dir):
    for file in fetching.bundle_files("laptop"):
        assert sha256_file(data_dir / file.file) == file.sha256, file.file


def test_the_command_asks_before_it_fetches(tmp_path, monkeypatch):
    from selene_lib.cli import app

    def must_not(files, folder):
        raise AssertionError("fetched without consent")

    monkeypatch.setattr(fetching, "fetch_files", must_not)
    done = CliRunner().invoke(app, ["data", "get", "laptop", "--out", str(tmp_path)], input="n\n")
    assert done.exit_code == 1 and "licence: MIT" in done.output
    monkeypatch.setattr(fetching, "fetch_files", lambda files, folder: 2)
    done = CliRunner().invoke(app, ["data", "get", "laptop", "--out", str(tmp_path), "--yes"])
    assert done.exit_code == 0 and "2 files fetched" in done.output


def test_a_run_without_domains_and_formats_asks_nobody_and_leaves_its_folder(tmp_path):
    study = DomainStudy({}, [], Asking("lean"), Limits(10), n_audit=0, n_resamples=10)
    asked = ask_judges("no/such-model", {"base": None}, study, tmp_path / "judgements")
    assert asked.judgements == [] and asked.formats.empty and asked.audit.empty
    assert "format" in asked.formats and "probe" in asked.audit
    assert (tmp_path / "judgements").is_dir()
