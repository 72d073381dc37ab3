"""`selene doctor`: what is installed against what was tested, each difference with its remedy."""

from __future__ import annotations

import sys

import pytest

from selene_lib.pipeline import doctor


def test_pinned_versions_are_the_pinned_lines_only():
    assert doctor._pinned_versions(
        "torch==2.1.0\n# numpy==1\nscipy>=1\nx-y.z==3.0 ; python_version < '3.12'\n"
    ) == {
        "torch": "2.1.0",
        "x-y.z": "3.0",
    }


def test_a_version_that_was_not_tested_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda name: "0.0.1" if name == "torch" else None)
    findings = {finding.what: finding for finding in doctor._versions()}
    (torch,) = [finding for what, finding in findings.items() if what.startswith("torch ")]
    assert not torch.ok and "tested with" in torch.what and torch.remedy == doctor.INSTALL
    assert findings["unsloth is not installed"].ok and not findings["numpy is not installed"].ok


def test_torchvision_and_unsloth_beside_a_cpu_torch_are_clashes(monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda name: "2.13.0+cpu")
    monkeypatch.setattr(doctor, "find_spec", lambda name: object())
    assert [finding.ok for finding in doctor._clashes()] == [False, False]
    assert "pip uninstall torchvision" in doctor._clashes()[0].remedy
    monkeypatch.setattr(doctor, "_version", lambda name: "2.13.0")
    assert doctor._clashes() == []


def test_an_old_python_is_named(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    assert not doctor._python().ok


@pytest.mark.parametrize("name", ["", "not/made/yet"])
def test_the_disk_is_looked_at_where_results_will_be(tmp_path, monkeypatch, name):
    monkeypatch.setenv("SELENE_HOME", str(tmp_path / name))
    assert "GB free where results are written" in doctor._disk().what
