"""What the story of a month needs: a clock, commits of people, and a team at the gateway."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from cortex_pipelines.feedback import project_feedback, store
from cortex_pipelines.feedback.git_history import FileRevision, from_gateway, simulate
from cortex_pipelines.monitoring import policy
from cortex_pipelines.orchestration import planning
from cortex_pipelines.projects import certificate
from cortex_pipelines.release import promote
from cortex_pipelines_tests.integration.miniproject import REPOSITORY, MiniProject, run_in

_TELL_TIME = (certificate, policy, store, project_feedback, project_feedback, promote, planning)
"""Modules of the package that ask for the present in this story."""

_HISTORY_BEGAN = datetime.fromtimestamp(1_700_000_000, UTC)
"""Date of alpha's first commits; a fixed one, so that every month trains the same models."""


class Clock:
    """What the package takes for the present: so many days after the real one."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def to_day(self, day: float) -> None:
        """Move it; MLflow's and Dagster's own time stamps stay real, those of day 0."""

        class Later(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> "Later":
                return super().now(tz) + timedelta(days=day)

        for module in _TELL_TIME:
            self._patch.setattr(module, "datetime", Later)


def commit_as(mini: MiniProject, author: str, day: int, files: Iterable[Path], folder: str) -> None:
    source = mini.root / "sources" / "alpha"
    (source / folder).mkdir(exist_ok=True)
    for path in files:
        shutil.copy(path, source / folder / path.name)
    date = (_HISTORY_BEGAN + timedelta(days=day)).isoformat()
    identity = {"NAME": author.partition("@")[0], "EMAIL": author, "DATE": date}
    environment = {f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in identity.items()}
    run_in(source, "git", "add", "-A")
    run_in(source, "git", "commit", "-q", "-m", f"Add the {folder}", **environment)


def room(name: str) -> list[Path]:
    return sorted((REPOSITORY / "cortex_pipelines" / name).glob("*.py"))


class Team:
    """People at the gateway: each line of a change is typed by the next of them."""

    def __init__(self, client: TestClient, people: Iterable[str]) -> None:
        self._client = client
        self._turn = cycle(people)
        self.asked: dict[str, tuple[str, str]] = {}

    def types(self, changes: Iterable[FileRevision]) -> Iterator[str]:
        """Type changes as the simulated developer does; yields the id of each answer."""
        suggest = from_gateway(self.post, "alpha")
        for event in simulate(changes, lambda _: suggest, "alpha", "gateway"):
            body = {name: value for name, value in event.items() if name not in ("at", "unit")}
            self.post("/feedback" if event["type"] == "feedback" else "/v1/events", body)
            if event["type"] == "view":
                yield event["completion_id"]

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request as the next user, or as the user who got the answer that it is about."""
        if path == "/v1/completions":
            name = next(self._turn)
            answer = self._client.post(path, json={**body, "user": name})
        else:
            name = self.asked[body["completion_id"]][0]
            answer = self._client.post(path, json=body, headers={"x-cortex-user": name})
        assert answer.status_code == 200, answer.text
        response: dict[str, Any] = answer.json() if answer.content else {}
        if path == "/v1/completions":
            self.asked[response["id"]] = (name, answer.headers["x-cortex-version"])
        return response

    def corrects(self, path: str, before: str, corrected: str) -> None:
        segments = {"prefix": before, "suffix": "", "filepath": path}
        answer = self.post("/v1/completions", {"model": "alpha", "segments": segments})
        completion = {"completion_id": answer["id"]}
        self.post("/v1/events", completion | {"type": "view"})
        self.post("/v1/events", completion | {"type": "select"})
        original = answer["choices"][0]["text"]
        correction = {"vote": "up", "original": original, "correction": corrected}
        self.post("/feedback", completion | correction)

    def votes_down(self, answer: str) -> None:
        version = self.asked[answer][1]
        self.post("/feedback", {"completion_id": answer, "vote": "down", "version": version})
