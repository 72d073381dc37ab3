"""`selene judge` on tables: servers, panels, samples, dry runs, defaults, exit codes, columns."""

from __future__ import annotations

import asyncio
import json

import pytest
from judge_stub import GOOD, stub_server
from typer.testing import CliRunner

from selene_lib.data.table_writing import write_table
from selene_lib.data.tables import read_table
from selene_lib.errors import UserError
from selene_lib.evaluation.agreement.verdicts import read_verdicts
from selene_lib.evaluation.scoring.streamed import rescore_files
from selene_lib.files import read_jsonl
from selene_lib.judge import Judge, judge_file, plan_file
from selene_lib.judges.opening import open_judge
from selene_lib.models.limits import BudgetReached
from selene_lib.records import Judgement

ASKED = {"rubric": "Is it right?", "task": "classification", "progress": False}


def rows(n: int, **more) -> list[dict]:
    return [{"instruction": f"do {i}", "response": f"done {i}", **more} for i in range(n)]


def invoke(*arguments: str):
    """Run the command line as `main` does, but for the text of a user's error."""
    from selene_lib.cli import app

    return CliRunner().invoke(app, ["judge", *arguments])


@pytest.fixture
def source(tmp_path):
    return write_table(tmp_path / "in.csv", rows(6, label="Yes"))


def yes_but(other: str):
    """Model `a` says Yes; every other one says `other` on odd rows."""

    def rule(asked):
        number = int(asked["messages"][0]["content"].partition("done ")[2][0])
        label = other if asked["model"] != "a" and number % 2 else "Yes"
        return f"**Reasoning:** {asked['model']}\n\n**Result:** {label}"

    return rule


def test_a_panel_writes_one_file_of_replies_and_asks_nothing_twice(source, tmp_path):
    with stub_server(yes_but("No")) as server:
        models = [f"{server.address}#{name}" for name in "abc"]
        priced = {
            "usd_per_million_prompt_tokens": [1.0, 10.0, 0.0],
            "usd_per_million_reply_tokens": 2.0,
        }
        done = judge_file(source, tmp_path / "out.csv", model=models, **ASKED, **priced)
        assert len(server.asked) == 18
        again = judge_file(source, tmp_path / "out.csv", model=models, **ASKED, **priced)
        assert len(server.asked) == 18 and again.distribution == done.distribution
    assert done.distribution == {"Yes": 3, "No": 3} and done.judge == "panel"
    assert done.disagreement == 0.5 and done.kappas["b", "c"] == 1.0 and done.kappas["a", "b"] == 0
    assert [member.name for member in done.members] == ["a", "b", "c"]
    costs = [member.usage["usd"] for member in done.members]
    assert costs == pytest.approx([6 * (p * 100 + 2 * 20) / 1e6 for p in (1, 10, 0)])
    assert done.usage["usd"] == pytest.approx(sum(costs))
    table = read_table(tmp_path / "out.csv")
    assert [row["verdict"] for row in table] == ["Yes", "No"] * 3
    assert [row["verdict_a"] for row in table] == ["Yes"] * 6
    assert float(table[1]["confidence"]) == pytest.approx(2 / 3)
    stored = read_jsonl(done.store, Judgement)
    assert len(stored) == 18 and {j.judge for j in stored} == set("abc")
    accuracy = {s.judge: s.value for s in done.scores if s.metric == "accuracy"}
    assert accuracy == {"a": 1.0, "b": 0.5, "c": 0.5, "panel": 0.5}
    rescored = rescore_files(tmp_path / "out.csv.samples.parquet", done.store)
    assert {s.judge: s.value for s in rescored if s.metric == "accuracy"} == {
        name: value for name, value in accuracy.items() if name != "panel"
    }
    replayed = judge_file(source, tmp_path / "again.csv", model=f"replay:{done.store}", **ASKED)
    assert replayed.kappas == done.kappas
    assert [r["verdict"] for r in read_table(tmp_path / "again.csv")] == ["Yes", "No"] * 3


def test_samples_have_seeds_of_their_item_and_are_all_stored(source, tmp_path):
    with stub_server(lambda asked: f"**Result:** {'Yes' if asked['seed'] % 3 else 'No'}") as server:
        model = f"{server.address}#m"
        done = judge_file(source, tmp_path / "out.csv", model=model, n_samples=3, **ASKED)
        seeds = {(p, asked["seed"]) for p, asked in zip(server.prompts, server.asked)}
        assert len(server.asked) == len(seeds) == 18, "the same question is asked anew"
        assert {asked["temperature"] for asked in server.asked} == {1.0}
        judge_file(source, tmp_path / "other.csv", model=model, n_samples=3, **ASKED)
        assert {(p, a["seed"]) for p, a in zip(server.prompts, server.asked)} == seeds
        judge_file(source, tmp_path / "out.csv", model=model, n_samples=3, **ASKED)
        assert len(server.asked) == 36, "what is stored is not asked again"
    stored = read_jsonl(done.store, Judgement)
    assert sorted(j.draw for j in stored) == sorted([1, 2, 3] * 6)
    table = read_table(tmp_path / "out.csv")
    by_sample: dict[str, list[str]] = {}
    for j in stored:
        by_sample.setdefault(j.sample_id, []).append(str(j.verdict))
    shares = sorted(said.count("Yes") / 3 for said in by_sample.values())
    assert sorted(float(row["score"]) for row in table) == pytest.approx(shares)
    rescored = rescore_files(tmp_path / "out.csv.samples.parquet", done.store)
    both = [
        next(s.value for s in found if s.metric == "accuracy") for found in (rescored, done.scores)
    ]
    assert both[0] == both[1]
    replayed = judge_file(
        source, tmp_path / "again.csv", model=f"replay:{done.store}", n_samples=3, **ASKED
    )
    assert replayed.distribution == done.distribution


def test_criteria_of_a_file_have_a_column_each(source, tmp_path):
    (tmp_path / "criteria.yaml").write_text(
        "criteria:\n- name: right\n  rubric: Is it right?\n  weight: 2\n"
        "- {name: kind, rubric: tone, veto: true}\n"
    )
    with stub_server(
        lambda a: f"**Result:** {'No' if 'tone' in a['messages'][0]['content'] else 'Yes'}"
    ) as server:
        given = ASKED | {"rubric": str(tmp_path / "criteria.yaml")}
        done = judge_file(source, tmp_path / "out.csv", model=f"{server.address}#m", **given)
        judge_file(source, tmp_path / "out.csv", model=f"{server.address}#m", **given)
        assert len(server.asked) == 12
    row = read_table(tmp_path / "out.csv")[0]
    assert (row["verdict"], row["verdict_right"], row["verdict_kind"]) == ("No", "Yes", "No")
    assert row["reason"] == "kind decides" and done.distribution == {"Yes": 0, "No": 6}
    assert next(s.value for s in done.scores if s.metric == "accuracy") == 0


def test_examples_of_a_table_are_shown(source, tmp_path):
    table = write_table(tmp_path / "shots.csv", [{"response": "no way", "verdict": "No"}])
    with stub_server("**Result:** Yes") as server:
        done = invoke(
            "--input", str(source), "--output", str(tmp_path / "out.csv"), "--examples",
            str(table), "--task", "classification", "--rubric", "Is it right?", "--model",
            f"{server.address}#m",
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        assert "Example 1\nAnswer:\n```\nno way\n```" in server.prompts[0]
    write_table(table, [{"response": "no way"}])
    with pytest.raises(UserError, match="row 1: an example needs a response and the verdict"):
        Judge("embedded", examples=table)


def test_a_dry_run_asks_and_writes_nothing(source, tmp_path):
    priced = {"usd_per_million_prompt_tokens": 1.0, "usd_per_million_reply_tokens": 2.0}
    given = {k: v for k, v in ASKED.items() if k != "progress"} | priced
    with stub_server(GOOD) as server:
        models = [f"{server.address}#a", f"{server.address}#b"]
        plan = plan_file(
            source, tmp_path / "out.csv", model=models, n_samples=2, max_new_tokens=50, **given
        )
        assert server.asked == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.csv"]
    assert (plan.n_rows, plan.n_requests, plan.n_stored) == (6, 24, 0)
    assert plan.n_reply_tokens_max == 24 * 50
    assert plan.usd_max == pytest.approx((plan.n_prompt_tokens + 2 * 24 * 50) / 1e6)
    priced = {"usd_per_million_prompt_tokens": [1.0, 3.0]}
    dearer = plan_file(source, tmp_path / "out.csv", model=models, n_samples=2, **given | priced)
    n_reply = dearer.n_reply_tokens_max
    assert dearer.usd_max == pytest.approx((2 * plan.n_prompt_tokens + 2 * n_reply) / 1e6)
    with pytest.raises(UserError, match="2 prices for 3 judges"):
        plan_file(source, tmp_path / "out.csv", model=[*models, models[0]], **given | priced)


@pytest.mark.parametrize(("share", "code"), [(1.0, 3), (0.5, 0)])
def test_what_cannot_be_read_is_told_with_remedies(source, tmp_path, share, code):
    def rule(asked):
        number = int(asked["messages"][0]["content"].partition("done ")[2][0])
        return "perhaps" if number < 6 * share else "**Result:** Yes"

    with stub_server(rule) as server:
        found = invoke(
            "--input", str(source), "--output", str(tmp_path / "out.csv"), "--task",
            "classification", "--rubric", "Is it right?", "--model", f"{server.address}#m",
        )  # fmt: skip
    assert found.exit_code == code
    n = int(6 * share)
    assert f"{n} of 6 rows have no readable verdict ({n} malformed)" in found.output
    assert "--reply verdict" in found.output and f"Yes {6 - n}, No 0" in found.output


def test_no_model_is_the_small_real_one_or_a_message_but_never_the_toy(
    source, tmp_path, monkeypatch
):
    monkeypatch.setenv("SELENE_CACHE", str(tmp_path / "empty"))
    with pytest.raises(UserError, match=r"selene model get smollm2.*embedded, which knows only"):
        judge_file(source, tmp_path / "out.csv", **ASKED)
    with pytest.raises(UserError, match="no model is named"):
        Judge()
    source.write_text("instruction,answer\ngo,x\n")
    with pytest.raises(UserError, match="no column 'response'"):  # before the missing model
        judge_file(source, tmp_path / "out.csv", **ASKED)
    asked = []
    monkeypatch.setattr("selene_lib.judges.asked.find_model", lambda name: tmp_path)
    monkeypatch.setattr(
        "selene_lib.judge.open_judge", lambda model, **o: asked.append((model, o)) or _Silent()
    )
    Judge()
    assert asked == [("smollm2", {"read": "logprob"})]


class _Silent:
    name, fingerprint = "m", "f"


def test_the_toy_says_that_it_is_one(source, tmp_path, monkeypatch, capsys):
    class Yes(_Silent):
        def judge(self, prompts):
            from selene_lib.judges.protocol import Reply

            return [Reply("**Result:** Yes") for _ in prompts]

    monkeypatch.setattr("selene_lib.judge.open_judge", lambda model, **options: Yes())
    judge_file(source, tmp_path / "out.csv", model="embedded", **ASKED)
    assert "embedded knows only its generated world" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["gpt-4o-mini", "claude"])
def test_a_served_models_name_alone_says_how_a_server_is_named(name):
    with pytest.raises(UserError, match=rf"named by its server's address.*/v1#{name}") as caught:
        open_judge(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_conversations_and_contexts_of_a_table_reach_the_prompt(tmp_path, ending):
    talk = [
        {"role": "user", "content": "Book it.", "tool_calls": None},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"function": {"name": "book", "arguments": '{"n": 2}'}}],
        },
        {"role": "assistant", "content": "Booked.", "tool_calls": None},
    ]
    source = write_table(
        tmp_path / f"in{ending}", [{"messages": talk, "context": ["Two seats.", "Free."]}] * 2
    )
    with stub_server(GOOD) as server:
        done = judge_file(
            source,
            tmp_path / f"out{ending}",
            model=f"{server.address}#m",
            rubric="faithfulness",
            progress=False,
        )
        prompt = server.prompts[0]
    assert done.distribution["4"] == 2 and done.task == "absolute"
    assert 'User: Book it.\n\nAssistant: [calls book({"n": 2})]' in prompt
    assert "Given with it, to answer from:\nTwo seats.\n\nFree." in prompt
    assert "```\nBooked.\n```" in prompt


def test_a_preset_that_needs_a_text_refuses_a_table_without_it(source, tmp_path):
    with pytest.raises(UserError, match="no column 'reference'"):
        judge_file(source, tmp_path / "out.csv", model="embedded", rubric="correctness")


def test_a_scale_reads_labels_and_verdicts_from_one_to_ten(tmp_path):
    source = write_table(tmp_path / "in.csv", rows(4, label="10"))
    with stub_server("**Reasoning:** x\n\n**Result:** 10") as server:
        done = judge_file(
            source,
            tmp_path / "out.csv",
            model=f"{server.address}#m",
            scale="1-10",
            rubric="Is it right?",
            progress=False,
        )
    assert done.distribution["10"] == 4 and done.mean.value == 10
    assert next(s.value for s in done.scores if s.metric == "accuracy") == 1.0
    assert {j.meta["scale"] for j in read_jsonl(done.store, Judgement)} == {"1-10"}
    rescored = rescore_files(tmp_path / "out.csv.samples.parquet", done.store)
    assert next(s.value for s in rescored if s.metric == "accuracy") == 1.0
    found = read_verdicts(tmp_path / "out.csv", scale="1-10")
    assert found.labels == tuple(str(i) for i in range(1, 11))
    assert list(found.verdict) == list(found.gold) == ["10"] * 4
    with pytest.raises(UserError, match="'10' is not one of 1 to 5"):
        read_verdicts(tmp_path / "out.csv", task="absolute")


@pytest.mark.parametrize(("reply", "form"), [("critique", "regex"), ("verdict", "choice")])
def test_guided_holds_the_verdict_and_not_the_reasons_until_a_server_refuses(
    source, tmp_path, reply, form, capsys
):
    def rule(asked):
        if "structured_outputs" in asked and server.refuses:
            error = {"error": {"message": "structured_outputs: extra fields not permitted"}}
            return 400, error
        return "**Reasoning:** x\n\n**Result:** Yes"

    given = ASKED | {"reply": reply, "guided": True}
    with stub_server(rule) as server:
        server.refuses = False
        judge_file(source, tmp_path / "a.csv", model=f"{server.address}#m", **given)
        sent = server.asked[0]["structured_outputs"]
        assert list(sent) == [form]
        assert "Yes" in json.dumps(sent) and ("(.|" in json.dumps(sent)) == (reply == "critique")
        server.refuses = True
        server.asked.clear()
        done = judge_file(source, tmp_path / "b.csv", model=f"{server.address}#m", **given)
        assert done.distribution["Yes"] == 6 and len(server.asked) == 7
    assert capsys.readouterr().err.count("structured_outputs is left out") == 1


def test_columns_of_the_users_own_are_kept_and_a_rubric_is_not_repeated(tmp_path):
    more = {"score": "=1+1", "rubric": "Is it right?"}
    source = write_table(tmp_path / "in.jsonl", rows(2, **more))
    with stub_server("**Reasoning:** =cmd()\n\n**Result:** Yes") as server:
        judge_file(
            source,
            tmp_path / "out.csv",
            model=f"{server.address}#m",
            task="classification",
            progress=False,
        )
    row = read_table(tmp_path / "out.csv")[0]
    assert row["score"] == "'=1+1" and row["selene_score"] == "1.0"
    assert row["selene_reasoning"] == "'=cmd()", "a spreadsheet runs no formula of a reply"
    assert "selene_rubric" not in row and row["rubric"] == "Is it right?"
    assert int(row["selene_n_prompt_tokens"]) == 100


def test_a_panel_stopped_by_one_judge_pays_the_other_once(source, tmp_path):
    def rule(asked):
        if asked["model"] == "b" and server.is_down:
            return 401, {"error": {"message": "bad key"}}
        return "**Result:** Yes"

    with stub_server(rule) as server:
        server.is_down = True
        models = [f"{server.address}#a", f"{server.address}#b"]
        with pytest.raises(UserError, match="refuses the key"):
            judge_file(source, tmp_path / "out.csv", model=models, **ASKED)
        assert not (tmp_path / "out.csv").exists()
        server.is_down = False
        done = judge_file(source, tmp_path / "out.csv", model=models, **ASKED)
        asked = [asked["model"] for asked in server.asked]
    assert asked.count("a") == 6 and asked.count("b") == 1 + 6
    assert done.distribution["Yes"] == 6


def test_a_budget_holds_for_each_judge_of_a_panel(source, tmp_path):
    with stub_server("**Result:** Yes") as server:
        models = [f"{server.address}#a", f"{server.address}#b"]
        given = {**ASKED, "budget_tokens": 360, "max_concurrency": 2}
        with pytest.raises(BudgetReached):
            judge_file(source, tmp_path / "out.csv", model=models, **given)
        assert len(server.asked) == 3, "120 tokens an answer"
        done = judge_file(
            source, tmp_path / "out.csv", model=models, **{**given, "budget_tokens": 10_000}
        )
        assert len(server.asked) == 12 and done.distribution["Yes"] == 6


def test_awaited_calls_of_a_server_are_paid_once_and_within_the_budget():
    async def ask(judge, texts):
        return await asyncio.gather(*(judge.ascore(text) for text in texts), return_exceptions=True)

    with stub_server(GOOD) as server:
        judge = Judge(f"{server.address}#m", rubric="Is it right?", budget_tokens=360)
        found = asyncio.run(ask(judge, ["a", "b", "a", "b", "a"]))
        assert [one.verdict for one in found] == [4] * 5 and len(server.asked) == 2
        found = asyncio.run(ask(judge, ["a", "c", "d", "e"]))
        n_stopped = sum(isinstance(one, BudgetReached) for one in found)
        assert found[0].verdict == 4 and n_stopped == 2 and len(server.asked) == 3
