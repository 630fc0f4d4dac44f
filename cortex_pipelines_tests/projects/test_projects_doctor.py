"""What the doctor says of the sandbox."""

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


@pytest.mark.parametrize(("installed", "good"), [(None, True), ("/usr/bin/bwrap", False)])
def test_a_bubblewrap_that_fails_where_it_is_installed_is_no_good_news(
    monkeypatch: pytest.MonkeyPatch, installed: str | None, good: bool
) -> None:
    monkeypatch.setattr(sandbox, "unavailable", lambda: None)
    monkeypatch.setattr(sandbox, "trouble", lambda door: None if door == "own" else "refused")
    monkeypatch.setattr("shutil.which", lambda name: installed)
    finding = _sandbox()
    assert finding.detail == "works, by own; not by bubblewrap: refused"
    assert (finding.good, finding.needed) == (good, False)
    assert "max_user_namespaces" in finding.remedy


def test_doors_that_work_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "unavailable", lambda: None)
    monkeypatch.setattr(sandbox, "trouble", lambda door: None)
    finding = _sandbox()
    assert finding.good
    assert finding.detail == "works, by bubblewrap or own"
