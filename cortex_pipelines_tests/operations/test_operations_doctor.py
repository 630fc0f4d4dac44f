"""What the doctor says of the sandbox."""

import pytest

from cortex_pipelines.operations.doctor import _sandbox
from cortex_pipelines.sandbox import sandbox


def test_a_machine_without_a_sandbox_is_told_what_it_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "unavailable", lambda: "no sandbox on this machine: refused")
    finding = _sandbox()
    assert not finding.good
    assert not finding.needed  # data can be made without one
    assert finding.detail.startswith(
        "no sandbox on this machine: refused; no test and no generated"
    )
    assert "apparmor_restrict_unprivileged_userns" in finding.remedy


def test_a_machine_with_one_is_told_its_doors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "unavailable", lambda: None)
    monkeypatch.setattr(sandbox, "trouble", lambda door: None if door == "own" else "no bwrap")
    assert _sandbox().detail == "works, by own"
