"""The lock file and the hub.

Revisions are resolved once, kept, and read through the same adapters as local files.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from adapter_checks import SHAPES, free_of_counts, write_rows
from toy_set import REVISION, SPEC

from selene_lib.data import (
    NOT_LOCKED,
    find_spec,
    load,
    lock_all,
    lock_revisions,
    read_lock,
    revision_of,
    revisions,
)
from selene_lib.data import hub as hub_module
from selene_lib.errors import UserError


def test_the_lock_file_of_the_project_holds_what_is_known():
    assert (
        read_lock() == {"lytang/LLM-AggreFact": "29e308a0c0c8af012943b70293dfb937811f13c6"}
        or len(read_lock()) > 1
    )
    assert revision_of(find_spec("llm_aggrefact")) == "29e308a0c0c8af012943b70293dfb937811f13c6"
    assert revision_of(find_spec("halueval")) == "RUCAIBox/HaluEval@b7253db"


def test_revisions_are_resolved_once_and_kept(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        revisions, "resolve_revision", lambda hub_id: asked.append(hub_id) or REVISION
    )
    path = tmp_path / "lock.yaml"
    assert revision_of(SPEC, path) == NOT_LOCKED
    assert (
        lock_revisions([SPEC, SPEC], path=path) == {"owner/toy": REVISION} == read_lock(path)
        and revision_of(SPEC, path) == REVISION
    )
    lock_revisions([SPEC], path=path)
    assert asked == ["owner/toy"]
    lock_revisions([SPEC], path=path, refresh=True)
    lock_all(["helpsteer"], lock_file=path)
    assert asked == ["owner/toy", "owner/toy", "nvidia/HelpSteer"] and set(read_lock(path)) == {
        "owner/toy",
        "nvidia/HelpSteer",
    }


def test_a_revision_typed_by_hand_is_refused(tmp_path):
    (tmp_path / "lock.yaml").write_text("owner/toy: main\n")
    with pytest.raises(
        ValueError,
        match="owner/toy is locked at 'main', which is no 40-hex revision; "
        "run `selene lock owner/toy`",
    ):
        read_lock(tmp_path / "lock.yaml")


def test_an_unreachable_hub_is_a_user_error_with_the_remedy(monkeypatch, tmp_path):
    import httpx
    import huggingface_hub

    def refuse(self, hub_id):
        raise httpx.ConnectError("no network")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", refuse)
    with pytest.raises(
        UserError,
        match=r"owner/toy: the hub cannot be reached \(no network\); connect, or give local files",
    ):
        load(SPEC, data_dir=None, lock_file=tmp_path / "lock.yaml")
    monkeypatch.setattr(
        huggingface_hub.HfApi,
        "dataset_info",
        lambda self, hub_id: type("Info", (), {"sha": "main"}),
    )
    with pytest.raises(UserError, match="named no 40-hex revision but 'main'"):
        revisions.resolve_revision("owner/toy")
    assert not (tmp_path / "lock.yaml").exists()


def test_hub_rows_go_through_the_same_adapter(tmp_path, monkeypatch):
    """`datasets` reads a folder as it reads a hub repository: here it stands in for one."""
    monkeypatch.setattr(revisions, "resolve_revision", lambda hub_id: REVISION)
    repository = tmp_path / "repository"
    (repository / "data").mkdir(parents=True)
    SHAPES["reward_bench"].write(repository, [SHAPES["reward_bench"].record(i) for i in range(3)])
    yaml = "configs:\n- config_name: default\n  data_files:\n"
    yaml += "  - split: filtered\n    path: data/filtered-*\n"
    (repository / "README.md").write_text(f"---\n{yaml}---\n")
    spec = replace(free_of_counts("reward_bench"), hub_id=str(repository))
    seen = {}
    monkeypatch.setattr(hub_module, "_open", _record_revision(hub_module._open, seen))
    from_hub = load(spec, data_dir=None, lock_file=tmp_path / "lock.yaml")
    write_rows("reward_bench", tmp_path / "local", spoil=False)
    assert (
        from_hub.samples == load(spec, data_dir=tmp_path / "local").samples and from_hub.n_read == 3
    )
    assert from_hub.revision == REVISION == seen["revision"] and from_hub.files == {}
    with pytest.raises(UserError, match=r"reward_bench: .* cannot be read"):
        load(replace(spec, hub_split="test"), data_dir=None, lock_file=tmp_path / "lock.yaml")


def test_several_configurations_are_read_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(revisions, "resolve_revision", lambda hub_id: REVISION)
    record = {"input": "q", "targets": {"choices": ["good", "bad"], "labels": [1, 0]}}
    monkeypatch.setattr(
        hub_module,
        "_open",
        lambda spec, config, split, revision: [{**record, "input": f"{config} {split}"}],
    )
    result = load(free_of_counts("hhh_alignment"), data_dir=None, lock_file=tmp_path / "lock.yaml")
    assert [(s.instruction, s.meta["category"]) for s in result.samples] == [
        (f"{category} test", category) for category in ("harmless", "helpful", "honest", "other")
    ]


def test_named_hub_files_are_fetched_at_the_revision(tmp_path, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(revisions, "resolve_revision", lambda hub_id: REVISION)
    monkeypatch.setattr(
        huggingface_hub.HfApi,
        "list_repo_files",
        lambda self, hub_id, **kw: ["README.md", "human_eval_pairwise.json"],
    )
    asked = []
    monkeypatch.setattr(
        huggingface_hub,
        "hf_hub_download",
        lambda *args, **kw: asked.append((args, kw)) or str(tmp_path / args[1]),
    )
    rows = [
        {"article": "a", "requirement": f"r {i}", "output_1": "x", "output_2": "y", "winner": 1}
        for i in range(3)
    ]
    (tmp_path / "human_eval_pairwise.json").write_text(json.dumps(rows))
    result = load(free_of_counts("instrusum"), data_dir=None, lock_file=tmp_path / "lock.yaml")
    assert [s.label for s in result.samples] == ["A"] * 3
    assert asked == [
        (
            ("Salesforce/InstruSum", "human_eval_pairwise.json"),
            {"repo_type": "dataset", "revision": REVISION},
        )
    ]
    monkeypatch.setattr(
        huggingface_hub.HfApi, "list_repo_files", lambda self, hub_id, **kw: ["README.md"]
    )
    with pytest.raises(
        UserError, match=r"has no file human_eval_pairwise.json; its layout changed"
    ):
        load(free_of_counts("instrusum"), data_dir=None, lock_file=tmp_path / "lock.yaml")
    with pytest.raises(
        UserError,
        match=r"halueval is not on the hub; "
        "copy general_data.json of RUCAIBox/HaluEval, data at b7253db into",
    ):
        load("halueval", data_dir=None, lock_file=tmp_path / "lock.yaml")


def _record_revision(opened, seen):
    def wrapped(spec, config, split, revision):
        seen["revision"] = revision
        return opened(spec, config, split, revision)

    return wrapped
