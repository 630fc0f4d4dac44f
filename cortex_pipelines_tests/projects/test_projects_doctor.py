import pytest

from cortex_pipelines.execution.sandbox import sandbox
from cortex_pipelines.projects.doctor import _sandbox


def test_a_sandbox_that_works_is_named_and_its_absence_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "unavailable", lambda: "no sandbox on this machine: refused")
    finding = _sandbox()
    assert (finding.good, finding.needed) == (False, False), "data can be made without one"
    assert finding.detail.startswith("no sandbox on this machine: refused; tests and generated")
    assert "apparmor_restrict_unprivileged_userns" in finding.remedy
    monkeypatch.setattr(sandbox, "unavailable", lambda: None)
    finding = _sandbox()
    assert (finding.good, finding.detail) == (True, "works")
