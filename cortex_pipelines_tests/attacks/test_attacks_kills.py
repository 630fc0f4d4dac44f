"""Commands that are killed anywhere, also several times in a row: nothing is lost, and the next command needs no help.

CORTEX_KILLS_SEED chooses other moments for the long form (`pytest -m attack`).
"""

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.tracking.experiments import find_run
from cortex_pipelines.tracking.store import connect, open_client
from cortex_pipelines.versioning import damaged_files
from cortex_pipelines.versioning.dagster.instance import DATABASES
from cortex_pipelines.versioning.project import read_yaml
from cortex_pipelines_tests.attacks.killer import CommandOutcome, Killer
from cortex_pipelines_tests.conftest import made_once
from cortex_pipelines_tests.integration.miniproject import MiniProject

VERSION = "1" * 32 + ".dir"
UNITS = ("code_units", "--project", "beta")
BETA = ("repository_files@beta", "code_units@beta")
LONGEST_DELAY = 0.05
COUNT, PARTS = 200, 20
MOST_IN_A_ROW = 4
MODEL = "task_router"


@dataclass(frozen=True)
class Scene:
    command: tuple[str, ...]
    after: tuple[tuple[str, ...], ...]
    begin: Callable[[MiniProject], object] = lambda mini: None
    like: str | None = None


SYNC = ("cortex", "sync")
RUN = ("cortex", "run", "repository_files", *UNITS)
REPRO = ("dvc", "repro", BETA[1])
PROMOTE = ("cortex", "promote", MODEL, "--why", "attack")
ROLLBACK = ("cortex", "rollback", MODEL, "--why", "attack")
ADD = ("cortex", "add", "gamma", "sources/gamma")
UPDATE = ("cortex", "update")
SCENES = {
    "run": Scene(RUN, (RUN,)),
    "run, then repro": Scene(RUN, (SYNC, REPRO, SYNC), like="run"),
    "repro": Scene(REPRO, (SYNC, REPRO, SYNC), like="run"),
    "repro, then run": Scene(REPRO, (RUN,), like="run"),
    "promote": Scene(PROMOTE, (PROMOTE,)),
    "promote, then releases": Scene(PROMOTE, (("cortex", "releases"), PROMOTE), like="promote"),
    "rollback": Scene(ROLLBACK, (ROLLBACK,), lambda mini: mini.cortex("promote", MODEL, "--why", "first")),
    "update": Scene(UPDATE, (UPDATE,), lambda mini: (mini.root / "sources" / "beta" / "stack.go").unlink()),
    "add": Scene(ADD, (("cortex", "doctor"), SYNC)),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, shared_begun: MiniProject) -> MiniProject:
    """One code base of few files, its units made, then changed; and a challenger to promote."""
    return made_once(tmp_path_factory, "kills", lambda root: prepare(shared_begun.copy(root)))


def prepare(mini: MiniProject) -> MiniProject:
    for module in (mini.root / "sources" / "beta").glob("*.py"):
        module.unlink()
    shutil.copytree(mini.root / "sources" / "beta", mini.root / "sources" / "gamma")
    # every command reads what is said of every project
    mini.edit_params(lambda values: values["projects"].pop("alpha"))
    mini.cortex("update")
    mini.cortex("run", "repository_files", *UNITS)
    challenge(mini)
    mini.commit("made")
    (mini.root / "sources" / "beta" / "more.py").write_text("def twice(number):\n    return 2 * number\n")
    mini.cortex("update", "beta")
    mini.edit_params(lambda values: values["extraction"].update(max_header_chars=20))
    return mini


def challenge(mini: MiniProject) -> None:
    verdict = {"verdict": "promoted", "reason": "better", "figures": {}, "model_version": VERSION}
    folder = mini.root / "data" / f"{MODEL}_release"
    folder.mkdir(parents=True)
    (folder / "verdict.json").write_text(json.dumps(verdict))
    client = open_client(mini.root)
    client.create_registered_model(MODEL)
    run = client.create_run("0").info.run_id
    client.create_model_version(MODEL, f"runs:/{run}/model", run, tags={"dvc_md5": VERSION})
    client.set_registered_model_alias(MODEL, "challenger", "1")


def state(mini: MiniProject) -> dict[str, object]:
    """All that must be the same as without the kill; when something was done is left out."""
    lines = read_yaml(mini.root / "releases.lock").get("ledger") or []
    ledger = [{k: v for k, v in line.items() if k != "at"} for line in lines]
    files = {k: v for k, v in mini.outputs().items() if k != "releases.lock"}
    connect.cache_clear()
    aliases = open_client(mini.root).get_registered_model(MODEL).aliases
    champions = read_yaml(mini.root / "releases.lock")["champions"]
    params = (mini.root / "params.yaml").read_bytes()
    return {**files, "ledger": ledger, "champions": champions, "a": aliases, "params": params}


class Attack:
    def __init__(self, killer: Killer, scene: Scene, start: MiniProject, events: int, expected: dict[str, Any]) -> None:
        self._killer, self._scene, self._start = killer, scene, start
        self._events, self._expected = events, expected

    @classmethod
    def begin(cls, killer: Killer, name: str, prepared: MiniProject, work: Path) -> "Attack":
        scene = SCENES[name]
        alone = SCENES[scene.like or name]
        start = prepared.copy(work / name / "start")
        scene.begin(start)
        mini = start.copy(work / name / "alone")
        complete = well(killer, mini, alone.command)
        for words in alone.after:
            if words != alone.command:
                well(killer, mini, words)
        assert complete.events > 5
        expected = state(mini)
        shutil.rmtree(mini.root)
        # the command of a stage counts on in a process of its own, so no one reports their sum
        events = complete.events if scene.command[0] == "cortex" else complete.events // 4
        return cls(killer, scene, start, events, expected)

    def kill(self, chance: random.Random, times: int) -> int:
        """Kill some times in a row, then look; how often it was killed before it ended."""
        mini = self._start.copy(self._start.root.with_name("killed"))
        moments, killed = [], 0
        for _ in range(times):
            late = chance.random() < 0.5
            event_number = chance.randint(1, self._events)
            delay = chance.uniform(0.0005, LONGEST_DELAY) if late else 0.0
            outcome = self._killer.run(mini.root, *self._scene.command, kill_at=event_number, delay=delay)
            assert "Traceback" not in outcome.output, outcome.output
            killed += outcome.status == -9
            moments.append(f"{event_number} + {delay:.4f} s")
        for words in self._scene.after:
            if words == SYNC and self._scene.command == ADD:
                self._add_unless_there(mini)
            well(self._killer, mini, words)
        after_kill = state(mini)
        different = [key for key in {**self._expected, **after_kill} if self._differs(key, after_kill)]
        assert not different, f"killed at {moments}: {different}; {mini.root}"
        assert not list(mini.root.rglob("*.aside"))
        shutil.rmtree(mini.root)
        return killed

    def _differs(self, key: str, actual: dict[str, object]) -> bool:
        return actual.get(key) != self._expected.get(key)

    def _add_unless_there(self, mini: MiniProject) -> None:
        if "gamma" not in read_yaml(mini.root / "params.yaml")["projects"]:
            well(self._killer, mini, ADD)


def well(killer: Killer, mini: MiniProject, words: tuple[str, ...]) -> CommandOutcome:
    outcome = killer.run(mini.root, *words)
    assert outcome.status == 0 or words[1] == "doctor", f"{words}: {outcome.output}"
    assert "Traceback" not in outcome.output, outcome.output
    return outcome


@pytest.mark.slow
def test_what_was_cut_off_is_reported_by_the_doctor_and_mended_by_the_next_command(killer, prepared, tmp_path) -> None:
    mini = prepared.copy(tmp_path / "cut")
    killer.run(mini.root, "cortex", "sync")
    before = mini.outputs()
    cut = [*damaged_files.FILES, ".dvc/tmp/rwlock", ".mlflow/mlflow.db", f".dagster/{DATABASES[1]}"]
    for name in cut:
        text = (mini.root / name).read_bytes()
        (mini.root / name).write_bytes(text[: -3 if name == "params.yaml" else len(text) // 2])
    report = killer.run(mini.root, "cortex", "doctor")
    assert (report.status, [name for name in cut if f"MISSING whole: {name}" not in report.output]) == (1, [])
    report = killer.run(mini.root, "cortex", "sync")
    assert report.status == 0, report.output
    assert "Traceback" not in report.output
    assert {line.split()[0] for line in report.output.splitlines() if ".cortex/damaged" in line} == set(cut)
    assert mini.outputs() == before
    assert find_run(mini.root, "code_units", "beta", mini.version("code_units@beta")), "MLflow knows again what is here"
    report = killer.run(mini.root, "cortex", "sync")
    assert report.output.endswith("events reported to Dagster: 0; aliases moved: 0\n")
    assert "MISSING whole" not in killer.run(mini.root, "cortex", "doctor").output


@pytest.mark.slow
@pytest.mark.parametrize("name", ["repro", "promote, then releases"])
def test_two_kills_in_a_row_lose_nothing(name: str, killer: Killer, prepared: MiniProject, tmp_path: Path) -> None:
    attack = Attack.begin(killer, name, prepared, tmp_path)
    dice = random.Random(name)
    assert any(attack.kill(dice, 2) for _ in range(10)), "ten times it ended before it was killed"


@pytest.fixture(scope="module")
def attacks(killer: Killer, prepared: MiniProject, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Attack]:
    work = tmp_path_factory.mktemp("attacks")
    return {name: Attack.begin(killer, name, prepared, work) for name in SCENES}


@pytest.mark.slow
@pytest.mark.attack
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_many_kills_lose_nothing(part: int, attacks: dict[str, Attack]) -> None:
    chance = random.Random(f"{os.environ.get('CORTEX_KILLS_SEED', '0')} {part}")
    target, killed = COUNT // PARTS, 0
    while killed < target:
        name = chance.choice(list(SCENES))
        killed += attacks[name].kill(chance, chance.randint(1, min(MOST_IN_A_ROW, target - killed)))
