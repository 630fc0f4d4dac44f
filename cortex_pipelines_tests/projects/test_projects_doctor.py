import pytest

from cortex_pipelines.execution.sandbox import sandbox
from cortex_pipelines.projects.doctor import _sandbox


def test_a_machine_without_a_sandbox_is_told_what_it_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "unavailable", lambda: "no sandbox on this machine: refused")
    finding = _sandbox()
    assert not finding.good
    assert not finding.needed  # data can be made without one
    assert finding.detail.startswith("no sandbox on this machine: refused; tests and generated")
    assert "apparmor_restrict_unprivileged_userns" in finding.remedy


def test_a_sandbox_that_works_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "unavailable", lambda: None)
    finding = _sandbox()
    assert (finding.good, finding.detail) == (True, "works")
