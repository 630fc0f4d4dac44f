"""Answers that break a pattern of their project say so."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from cortex_pipelines.extraction.patterns.pattern import parse_pattern
from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks
from cortex_pipelines.serving.catalogue import Catalogue
from cortex_pipelines.serving.engines.engine import Event, Job, TextDelta
from cortex_pipelines.serving.http.app import create_app
from cortex_pipelines_tests.serving import tinygateway

PATTERN = {
    **{"name": "keep_ids", "when": "Always.", "languages": "python"},
    **{"counter_example": "drop($A)", "example": "keep($A)"},
}


def fake_submit(text: str) -> Callable[..., Callable[[], None]]:
    def submit(job: Job, deliver: Callable[[Event], None]) -> Callable[[], None]:
        for index in range(job.count):
            deliver(TextDelta(index, text, ()))
            deliver(TextDelta(index, "", (), "stop"))
        deliver(None)
        return lambda: None

    return submit


def test_a_broken_pattern_is_a_flag_of_the_projects_models_alone(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def patterns() -> PatternChecks:
        opened.append("shop")
        return PatternChecks([parse_pattern(PATTERN)])

    def read() -> Catalogue:
        served = tinygateway.catalogue(home)
        with_patterns = replace(served.models["shop"], patterns=patterns)
        return replace(served, models={**served.models, "shop": with_patterns})

    gateway = tinygateway.open_tiny(home, tmp_path, read)
    monkeypatch.setattr(gateway.engine, "submit", fake_submit("drop(item)\n"))
    body = {"model": "shop", "task": "refactoring", "input": "keep(item)", "alternatives": 0}
    with TestClient(create_app(gateway)) as client:
        assert opened == []
        answer = client.post("/predict", json=body)
        assert answer.json()["flags"] == ["pattern:keep_ids"]
        assert answer.headers["x-cortex-flags"] == "pattern:keep_ids"
        body |= {"task": "completion", "input": "def f(item):\n    "}
        assert client.post("/predict", json=body).json()["flags"] == ["pattern:keep_ids"]
        assert client.post("/predict", json=body | {"model": "docs"}).json()["flags"] == []
        body |= {"context": {"language": "go"}}
        assert client.post("/predict", json=body).json()["flags"] == []
