"""Commands that are killed anywhere: nothing is lost, and the next command needs no help.

CORTEX_KILLS_SEED and CORTEX_KILLS_COUNT choose the kills of the long form (`pytest -m attack`);
a count of 50 with seed 3 goes on where the same with seed 2 has ended.
"""

import itertools
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cortex_pipelines.tracking.runs import find_run
from cortex_pipelines.tracking.store import connect, open_client
from cortex_pipelines.versioning import kept
from cortex_pipelines.versioning.instance import DATABASES
from cortex_pipelines.versioning.project import read_yaml
from cortex_pipelines_tests.attacks.killer import Ended, Killer
from cortex_pipelines_tests.integration.miniproject import MiniProject

VERSION = "1" * 32 + ".dir"
UNITS = ("code_units", "--project", "beta")
BETA = ("repository_files@beta", "code_units@beta")
LONGEST_DELAY = 0.05
MODEL = "task_router"


@dataclass(frozen=True)
class Scene:
    """A command that is killed, and what a person types next.

    Args:
        command: The command.
        after: The commands that follow; each has to end well, and they end the work.
        begin: Brings the project into the state in which the command has something to do.
    """

    command: tuple[str, ...]
    after: tuple[tuple[str, ...], ...]
    begin: Callable[[MiniProject], None] = lambda mini: None


def promoted(mini: MiniProject) -> None:
    mini.cortex("promote", MODEL, "--why", "first")


def moved(mini: MiniProject) -> None:
    (mini.root / "sources" / "beta" / "stack.go").unlink()


RUN = ("cortex", "run", "repository_files", *UNITS)
REPRO = ("dvc", "repro", BETA[1])
PROMOTE = ("cortex", "promote", MODEL, "--why", "attack")
ROLLBACK = ("cortex", "rollback", MODEL, "--why", "attack")
ADD = ("cortex", "add", "gamma", "sources/gamma")
UPDATE = ("cortex", "update")
SCENES = {
    "run": Scene(RUN, (RUN,)),
    "run, then repro": Scene(RUN, (("cortex", "sync"), REPRO, ("cortex", "sync"))),
    "repro": Scene(REPRO, (("cortex", "sync"), REPRO, ("cortex", "sync"))),
    "repro, then run": Scene(REPRO, (RUN,)),
    "promote": Scene(PROMOTE, (PROMOTE,)),
    "promote, then releases": Scene(PROMOTE, (("cortex", "releases"), PROMOTE)),
    "rollback": Scene(ROLLBACK, (ROLLBACK,), promoted),
    "update": Scene(UPDATE, (UPDATE,), moved),
    "add": Scene(ADD, (("cortex", "doctor"), ("cortex", "sync"))),
}


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killer]:
    one = Killer(tmp_path_factory.mktemp("killer") / "temporary")
    yield one
    one.close()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, _begun: MiniProject) -> MiniProject:
    """One code base of few files, its units made, then changed; and a challenger to promote."""
    mini = _begun.copy(tmp_path_factory.mktemp("kills") / "prepared")
    for module in (mini.root / "sources" / "beta").glob("*.py"):
        module.unlink()
    shutil.copytree(mini.root / "sources" / "beta", mini.root / "sources" / "gamma")
    mini.cortex("update", "beta")
    mini.cortex("run", "repository_files", *UNITS)
    challenge(mini)
    mini.commit("made")
    path = mini.root / "sources" / "beta" / "more.py"
    path.write_text("def twice(number):\n    return 2 * number\n")
    mini.cortex("update", "beta")
    mini.edit_params(lambda values: values["extraction"].update(max_header_chars=20))
    return mini


def challenge(mini: MiniProject) -> None:
    verdict = {"verdict": "promoted", "reason": "better", "model_version": VERSION}
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


def left_over(mini: MiniProject) -> list[str]:
    return [str(path) for path in mini.root.rglob("*.aside")]


class Attack:
    """Kills in one scene, each on a project of its own.

    Args:
        killer: Runs the commands.
        scene: What is killed.
        prepared: The project.
        work: Folder for the copies.
    """

    def __init__(self, killer: Killer, scene: Scene, prepared: MiniProject, work: Path) -> None:
        self._killer, self._scene, self._work = killer, scene, work
        self._start = prepared.copy(work / "start")
        scene.begin(self._start)
        mini = self._start.copy(work / "undisturbed")
        whole = self._well(mini, scene.command)
        for words in scene.after:
            self._well(mini, words)
        self.events, self._wanted = whole.events, state(mini)
        assert self.events > 5

    def kill(self, at: int, delay: float) -> bool:
        """Kill once and look; whether the command was killed before it ended."""
        mini = self._start.copy(self._work / "killed")
        ended = self._killer.run(mini.root, *self._scene.command, at=at, delay=delay)
        assert "Traceback" not in ended.output, ended.output
        for words in self._scene.after:
            if words[1] == "sync" and self._scene.command == ADD:
                self._add_unless_there(mini)
            self._well(mini, words)
        found = state(mini)
        different = [key for key in {**self._wanted, **found} if self._differs(key, found)]
        assert not different, f"killed at {at} + {delay}: {different}; {mini.root}"
        assert not left_over(mini)
        shutil.rmtree(mini.root)
        return ended.status == -9

    def _differs(self, key: str, found: dict[str, object]) -> bool:
        return found.get(key) != self._wanted.get(key)

    def _add_unless_there(self, mini: MiniProject) -> None:
        if "gamma" not in read_yaml(mini.root / "params.yaml")["projects"]:
            self._well(mini, ADD)

    def _well(self, mini: MiniProject, words: tuple[str, ...]) -> Ended:
        ended = self._killer.run(mini.root, *words)
        assert ended.status == 0 or words[1] == "doctor", f"{words}: {ended.output}"
        assert "Traceback" not in ended.output, ended.output
        return ended


@pytest.mark.slow
def test_what_was_cut_off_is_reported_by_the_doctor_and_mended_by_the_next_command(
    killer: Killer, prepared: MiniProject, tmp_path: Path
) -> None:
    mini = prepared.copy(tmp_path / "cut")
    killer.run(mini.root, "cortex", "sync")
    before = mini.outputs()
    cut = [*kept.FILES, ".dvc/tmp/rwlock", ".mlflow/mlflow.db", f".dagster/{DATABASES[1]}"]
    for name in cut:
        text = (mini.root / name).read_bytes()
        (mini.root / name).write_bytes(text[: -3 if name == "params.yaml" else len(text) // 2])
    said = killer.run(mini.root, "cortex", "doctor")
    assert said.status == 1
    assert [name for name in cut if f"MISSING whole: {name}" not in said.output] == []
    said = killer.run(mini.root, "cortex", "sync")
    assert said.status == 0, said.output
    assert "Traceback" not in said.output
    mended = {line.split()[0] for line in said.output.splitlines() if ".cortex/damaged" in line}
    assert mended == set(cut)
    assert mini.outputs() == before
    found = find_run(mini.root, "code_units", "beta", mini.version("code_units@beta"))
    assert found, "MLflow knows again what is here"
    said = killer.run(mini.root, "cortex", "sync")
    assert said.output.endswith("0 versions reported, 0 aliases moved\n")
    assert "MISSING whole" not in killer.run(mini.root, "cortex", "doctor").output


def moments(events: int, count: int, seed: str) -> Iterator[tuple[int, float]]:
    """Moments of kills: an event, and no time after it or some."""
    chance = random.Random(seed)
    for _ in range(count):
        late = chance.random() < 0.5
        yield chance.randint(1, events), chance.uniform(0.0005, LONGEST_DELAY) if late else 0.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run", "repro", "promote, then releases", "rollback", "add"])
def test_a_few_kills_lose_nothing(
    name: str, killer: Killer, prepared: MiniProject, tmp_path: Path
) -> None:
    attack = Attack(killer, SCENES[name], prepared, tmp_path)
    killed = [attack.kill(at, delay) for at, delay in moments(attack.events, 2, name)]
    assert any(killed)


@pytest.mark.slow
@pytest.mark.attack
def test_many_kills_lose_nothing(killer: Killer, prepared: MiniProject, tmp_path: Path) -> None:
    seed = int(os.environ.get("CORTEX_KILLS_SEED", "0"))
    count = int(os.environ.get("CORTEX_KILLS_COUNT", "200"))
    attacks = {
        name: Attack(killer, scene, prepared, tmp_path / str(number))
        for number, (name, scene) in enumerate(SCENES.items())
    }
    each = {
        name: moments(attack.events, count, f"{name} {seed}") for name, attack in attacks.items()
    }
    killed = 0
    for name in itertools.islice(itertools.cycle(attacks), count):
        at, delay = next(each[name])
        killed += attacks[name].kill(at, delay)
        print(f"seed {seed}: {name}, event {at} + {delay:.4f} s; {killed} killed", flush=True)
    assert killed > count // 2
