"""One damaged file of a whole project, whatever its format: a sentence or an answer, nothing lost.

Commands run as processes of their own; after each attack the project is put back as it was.
"""

import json
import random
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from cortex_pipelines.cli.main import main
from cortex_pipelines_tests.attacks import test_attacks_commands, tiny
from cortex_pipelines_tests.attacks.killer import CommandOutcome, Killer
from cortex_pipelines_tests.integration.miniproject import MiniProject
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
COUNT, PARTS = 200, 10
MORE_SECONDS = 5.0
"""Of processor time, beside what the same commands take with the file as it was, or empty."""
Words = tuple[str, ...]
ROUTER, ADAPTER = "task_router", f"code_adapter-{tiny.PROJECT}"
FILES_AND_UNITS = ("run", "repository_files", "code_units")


class Kind(NamedTuple):
    """Patterns of files of one kind, and sequences of commands that read them, one of which follows the damage."""

    files: list[str]
    commands: list[tuple[Words, ...]]


def sequences(lines: list[str]) -> list[tuple[Words, ...]]:
    """Commands as a person types them, those that follow one another separated by `; `."""
    names = {
        "ROUTER": ROUTER,
        "ADAPTER": ADAPTER,
        "PROJECT": tiny.PROJECT,
        "FILES_AND_UNITS": " ".join(FILES_AND_UNITS),
    }
    texts = [line for text in lines for line in CASES["COMMANDS"].get(text, [text])]
    filled = (text.format_map(names) for text in texts)
    return [tuple(tuple(shlex.split(command)) for command in text.split("; ")) for text in filled]


KINDS = {name: Kind(kind["files"], sequences(kind["commands"])) for name, kind in CASES["KINDS"].items()}


@dataclass(frozen=True)
class Restorer:
    """A project, and what it has to look like before each attack."""

    made: Path
    root: Path

    @classmethod
    def begin(cls, project: Path, root: Path) -> "Restorer":
        shutil.copytree(project, root, symlinks=True)
        return cls(project, root)

    def restore(self) -> None:
        expected, actual = _looks(self.made), _looks(self.root)
        for name in sorted(actual.keys() - expected.keys(), reverse=True):
            path = self.root / name
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
        for name in sorted(expected):
            if actual.get(name) != expected[name]:
                self._put_back(name)

    def _put_back(self, name: str) -> None:
        source, path = self.made / name, self.root / name
        if source.is_dir() and not source.is_symlink():
            if not path.is_dir():
                path.unlink(missing_ok=True)
                path.mkdir()
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        shutil.copy2(source, path, follow_symlinks=False)


def _looks(root: Path) -> dict[str, tuple[int, ...]]:
    """Kind, size and time of everything below a folder; times of folders do not count."""
    entries = {}
    for path in root.rglob("*"):
        stat = path.lstat()
        folder = path.is_dir() and not path.is_symlink()
        entries[path.relative_to(root).as_posix()] = (0,) if folder else (stat.st_mode, stat.st_size, stat.st_mtime_ns)
    return entries


class FinishedProject:
    def __init__(self, mini: MiniProject, killer: Killer) -> None:
        self.mini, self._killer = mini, killer
        self.texts = texts(mini.root)
        self.states = states(self._last((("status", "--json"),)).output)

    def seconds(self, commands: tuple[Words, ...], name: str) -> float:
        return max(self._last(commands, emptied).seconds for emptied in (None, name))

    def _last(self, commands: tuple[Words, ...], emptied: str | None = None) -> CommandOutcome:
        restorer = Restorer.begin(self.mini.root, self.mini.root.with_name("alone"))
        if emptied:
            (restorer.root / emptied).unlink()  # a link of DVC's cache may be the same file
            (restorer.root / emptied).touch()
        for words in commands:
            outcome = self._killer.run(restorer.root, "cortex", *words)
        shutil.rmtree(restorer.root)
        return outcome


@pytest.fixture(scope="module")
def finished_project(tmp_path_factory: pytest.TempPathFactory, killer: Killer) -> FinishedProject:
    mini = tiny.create(tmp_path_factory.mktemp("project") / "made")
    mini.cortex("run")
    return finished(mini, killer)


def finished(mini: MiniProject, killer: Killer) -> FinishedProject:
    """Put a model to use and export it, in a project of which everything is made."""
    mini.cortex("promote", ROUTER, "--why", "first")
    mini.cortex("export", f"{ADAPTER}@challenger", "--out", "exported")
    mini.cortex("sync")
    mini.commit("made")
    return FinishedProject(mini, killer)


def commands() -> set[Words]:
    return {words for kind in KINDS.values() for sequence in kind.commands for words in sequence}


def states(output: str) -> list[object]:
    rows = json.loads(output[output.index("[\n") :])
    return sorted((row["asset"], row["partition"] or "", row["dvc_md5"]) for row in rows)


def texts(root: Path) -> dict[str, str]:
    table = pl.read_parquet(root / "data" / "repository_files" / tiny.PROJECT / "files.parquet")
    return dict(table.select("path", "text").iter_rows())


class Attack:
    def __init__(self, finished_project: FinishedProject, root: Path, number: int) -> None:
        chance = random.Random(number)
        self._finished, self._root = finished_project, root
        self.kind = list(KINDS)[number % len(KINDS)]
        kind = KINDS[self.kind]
        files = sorted(
            path.relative_to(root).as_posix()
            for pattern in kind.files
            for path in root.glob(pattern)
            if path.is_file() and not path.is_symlink()
        )
        self.name = chance.choice(files)
        self.commands = chance.choice(kind.commands)
        self._data = test_attacks_commands.damaged((root / self.name).read_bytes(), chance)

    def __str__(self) -> str:
        return f"{self.kind}, {self.name}, {self.commands}"

    def make(self, killer: Killer) -> None:
        path = self._root / self.name
        mode = path.stat().st_mode
        path.unlink()  # a link of DVC's cache may be the same file
        path.write_bytes(self._data)
        path.chmod(mode)
        outcomes: list[CommandOutcome] = []
        for words in self.commands:
            outcomes.append(killer.run(self._root, "cortex", *words))
            self._check(words, self.commands[: len(outcomes)], outcomes[-1])
        if all(outcome.status == 0 for outcome in outcomes):
            self._nothing_lost(outcomes[-1])

    def _check(self, words: Words, so_far: tuple[Words, ...], outcome: CommandOutcome) -> None:
        context = f"{self}: {words} gave {outcome.status}: {outcome.output[-3000:]}"
        assert outcome.status in (0, 1, 2), context
        assert "Traceback" not in outcome.output, context
        assert "this is a fault of" not in outcome.output, context
        assert outcome.status == 0 or outcome.output.strip(), context
        if outcome.seconds >= MORE_SECONDS:
            more = outcome.seconds - self._finished.seconds(so_far, self.name)
            assert more < MORE_SECONDS, f"{more:.1f} s more than without damage: {context}"

    def _nothing_lost(self, last: CommandOutcome) -> None:
        words = self.commands[-1]
        if words == ("status", "--json") and self.kind in ("databases", "kept", "git"):
            assert states(last.output) == self._finished.states, str(self)
        if words == FILES_AND_UNITS and self.kind == "sources":
            damaged_path = self.name.removeprefix("sources/beta/")
            before = {k: v for k, v in self._finished.texts.items() if k != damaged_path}
            current_texts = texts(self._root)
            if self.name.startswith("sources/beta/"):
                assert before.items() <= current_texts.items(), str(self)


def attack(finished_project, killer: Killer, work: Path, numbers: range, log: Callable[[str], None]) -> None:
    restorer = Restorer.begin(finished_project.mini.root, work / "attacked")
    problems = []
    for number in numbers:
        attempt = Attack(finished_project, restorer.root, number)
        try:
            attempt.make(killer)
        except AssertionError as problem:
            problems.append(f"{number}: {problem}")
            log(problems[-1])
        restorer.restore()
    assert not problems, f"{len(problems)} of {len(numbers)}:\n" + "\n\n".join(problems)


def test_every_command_is_attacked() -> None:
    attacked_commands = {words[0] for words in commands()}
    assert attacked_commands | set(test_attacks_commands.ARGUMENTS) == set(main.commands)
    assert attacked_commands >= {"run", "sync", "status", "reproduce", "doctor", "update"}


@pytest.mark.attack
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_damaged_file_costs_a_sentence(part: int, finished_project, killer, tmp_path: Path) -> None:
    size = COUNT // PARTS
    attack(finished_project, killer, tmp_path, range(part * size, (part + 1) * size), print)
