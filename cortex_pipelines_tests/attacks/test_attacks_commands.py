"""Random arguments and damaged files for every command: a sentence or an answer, nothing lost."""

import contextlib
import errno
import importlib
import io
import json
import os
import pkgutil
import random
import shutil
import subprocess
import tarfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

import cortex_pipelines
from cortex_pipelines.cli.main import main
from cortex_pipelines_tests.integration.miniproject import git
from cortex_pipelines_tests.parameters import STANDARD, load_cases
from cortex_pipelines_tests.versioning.toy import begin_dvc

SNIPPETS = (
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r", b"\r\n", b"{}", b"null", b"NaN", b"1e999"),
    *(b'"', b"'", b"\\", b"\\ud800", b"\t", b": ", b"&a [*a]", b"<<: *a", b"!!binary x", b"---\n"),
    *(b"9" * 5000, b'{"a":' * 200, b"\xe2\x80\xa8", b'{"task_id": [1]}\n', b'{"title": 3}\n'),
)


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, cut, repeated, moved, or nothing at all of what there was."""
    damaged_data = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        position = chance.randrange(len(damaged_data) + 1)
        match chance.randrange(7):
            case 0:
                damaged_data[position : position + 1] = chance.randbytes(1)
            case 1:
                del damaged_data[position:]
            case 2:
                damaged_data[position:position] = chance.choice(SNIPPETS)
            case 3:
                end = chance.randrange(position, len(damaged_data) + 1)
                damaged_data[position:position] = damaged_data[position:end]
            case 4:
                del damaged_data[position : position + chance.randrange(1, 40)]
            case 5:
                damaged_data = bytearray(chance.randbytes(chance.randrange(60)))
            case _:
                damaged_data[position:position] = b"[" * chance.choice((3, 5000))
    return bytes(damaged_data)


CASES = load_cases(__file__)
ROOT = Path(__file__).parents[2]
MOST_SECONDS = 20.0
"""Of processor time, for any command; only another order of growth takes so long."""
SAMPLES = Path("data") / "samples" / "coordination"
WORDS = (
    *("", " ", "-", "--", "-rf", "--help", "-h", "in/..", "/nowhere", "/dev/null", "~", "*", "\n", "ü", "💥"),
    *("a" * 5000, "task_router", "task_router@champion", "task_router/1.0.0"),
    *("code_adapter-demo@challenger", "demo", "cortex", "@", "./", "x@y@z", "a/b/c", "0", "-1"),
    *("nan", "1e999", "99999999999999999999", "null", "\x7f", "\udc80", "$(id)", "%s", "{}", "'"),
)
TASKS = CASES["TASKS"].encode()
CODE = CASES["CODE"].encode()


@dataclass(frozen=True)
class Workplace:
    root: Path
    chance: random.Random

    def word(self) -> str:
        return self.chance.choice(WORDS)

    def random_words(self, limit: int) -> list[str]:
        return [self.word() for _ in range(self.chance.randrange(limit + 1))]

    def file(self, name: str, data: bytes) -> str:
        path = self.root / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(damaged(data, self.chance))
        return str(path.relative_to(self.root))


def random_command(workplace: Workplace, kind: str, **names: str) -> list[str]:
    return [word.format(**names) for word in workplace.chance.choice(CASES[kind])]


def route_file(workplace: Workplace) -> list[str]:
    return ["route", "--file", workplace.file("tasks.jsonl", TASKS), "--out", "decisions.jsonl"]


def logs(workplace: Workplace) -> list[str]:
    source = workplace.chance.choice(sorted((workplace.root / SAMPLES).rglob("*.jsonl")))
    return ["logs", workplace.file("logs.jsonl", source.read_bytes()[:4000]), "--json"]


def code(workplace: Workplace) -> list[str]:
    ending = workplace.chance.choice(("py", "go", "java", "js", "ts", "rs", "ipynb", "xyz", "json"))
    notebook = json.dumps({"cells": [{"cell_type": "code", "source": ["x = 1\n"]}]}).encode()
    name = workplace.file(f"code.{ending}", notebook if ending == "ipynb" else CODE)
    return random_command(workplace, "code", name=name, word=workplace.word())


def bundle(workplace: Workplace) -> list[str]:
    """A folder that looks like an export, an adapter, GGUF, or a router."""
    for name, data in CASES["bundle_files"].items():
        workplace.file(f"bundle/{name}", data.encode("latin-1"))
    return random_command(workplace, "bundle", word=workplace.word())


def project_file(workplace: Workplace) -> list[str]:
    """What a command says of a project one of whose files is damaged; it is put back afterwards."""
    name = workplace.chance.choice(("params.yaml", "sources.lock", "releases.lock", "dvc.lock"))
    path = workplace.root / name
    path.write_bytes(damaged(path.read_bytes() if path.exists() else b"a: {b: c}\n", workplace.chance))
    return random_command(workplace, "project_file", name=name)


def tables(workplace: Workplace) -> list[str]:
    out = io.BytesIO()
    pl.DataFrame({"task_id": ["a", "b"], "value": [1, 2]}).write_parquet(out)
    folder = workplace.root / "data"
    for asset in ("coordination_tables", "outcome_predictors"):
        (folder / asset).mkdir(exist_ok=True)
        for name in ("decisions", "outcomes", "features", "metrics"):
            (folder / asset / f"{name}.parquet").write_bytes(damaged(out.getvalue(), workplace.chance))
        (folder / asset / "predictors.json").write_bytes(damaged(b'{"success": {}}', workplace.chance))
    return ["predict", workplace.word(), *(["--master", workplace.word()] if workplace.chance.random() < 0.5 else [])]


def archive(workplace: Workplace) -> list[str]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as file:
        member = tarfile.TarInfo("a.py")
        member.size = len(CODE)
        file.addfile(member, io.BytesIO(CODE))
    name = workplace.file("a.tar.gz", out.getvalue())
    return ["add", workplace.word(), workplace.chance.choice((name, "in", "pypi:=", "npm:@", workplace.word()))]


ARGUMENTS = tuple(sorted(main.commands))


def arguments(workplace: Workplace) -> list[str]:
    command = workplace.chance.choice(ARGUMENTS)
    options = [
        word
        for param in main.commands[command].params
        for word in (param.opts[0], workplace.word())
        if param.param_type_name == "option" and workplace.chance.random() < 0.3
    ]
    # without a name `run` makes all there is, which takes minutes
    return [command, *([workplace.word()] if command == "run" else []), *workplace.random_words(3), *options]


KINDS: tuple[Callable[[Workplace], list[str]], ...] = (
    *(route_file, logs, code, bundle, project_file, tables, archive, arguments, arguments),
)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("attacked")
    shutil.copytree(ROOT / "data" / "samples", root / "data" / "samples")
    projects = "projects:\n  demo:\n    sources:\n      - directory: data\n"
    (root / "params.yaml").write_text(projects + STANDARD.read_text())
    git(root, "init", "-q")
    begin_dvc(root)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "begin")
    return root


def run(root: Path, words: list[str]) -> Result:
    with contextlib.chdir(root), pytest.MonkeyPatch.context() as patch:
        patch.delenv("CORTEX_ROOT", raising=False)
        patch.delenv("CORTEX_DEBUG", raising=False)
        return CliRunner().invoke(main, words)


def check(root: Path, words: list[str], result: Result) -> None:
    context = f"{[word[:60] for word in words]}: {result.output[-600:]}"
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        problem = "".join(traceback.format_exception(result.exception))
        raise AssertionError(f"{context}\n{problem}")
    assert result.exit_code in (0, 1, 2), context
    assert "Traceback" not in result.output, context
    if result.exit_code:
        # what the doctor misses is its answer
        has_message = result.stderr.strip() or "Usage:" in result.output or "MISSING" in result.output
        assert has_message, f"failed silently: {context}"
    if "this is a fault of" in result.stderr:
        (log, *_) = sorted((root / ".cortex" / "logs").glob("error-*.log"))[::-1]
        raise AssertionError(f"{context}\n{log.read_text()}")


def nothing_lost(root: Path, words: list[str], result: Result) -> None:
    """Each line that came in went out, as an answer or as an error."""
    if result.exit_code:
        return
    if words[0] == "route" and "decisions.jsonl" in words:
        data = (root / words[2]).read_bytes().rstrip()
        lines = (root / "decisions.jsonl").read_text(encoding="utf-8").splitlines()
        assert len([line for line in lines if line]) == (len(data.split(b"\n")) if data else 0)
        assert all("master" in json.loads(line) or "error" in json.loads(line) for line in lines)
    if words[0] == "logs" and words[1].endswith("logs.jsonl"):
        (summary,) = json.loads(result.stdout)
        read = summary["records"] + summary["empty_objects"] + len(summary["rejected"])
        assert bool((root / words[1]).read_bytes().strip()) <= bool(read), summary


def load_everything() -> None:
    """Import what a command imports when it is first run; its time counts for none of them."""
    for module in pkgutil.walk_packages(cortex_pipelines.__path__, "cortex_pipelines."):
        if module.name != "cortex_pipelines.definitions":  # opens the project that it lies in
            importlib.import_module(module.name)


def attack(begun: Path, tmp_path: Path, first: int, count: int) -> None:
    load_everything()
    root = tmp_path / "attacked"
    shutil.copytree(begun, root)
    params = (root / "params.yaml").read_bytes()
    for number in range(first, first + count):
        workplace = Workplace(root, random.Random(number))
        words = KINDS[number % len(KINDS)](workplace)
        begun_at = time.process_time()
        result = run(root, words)
        seconds = time.process_time() - begun_at
        check(root, words, result)
        assert seconds < MOST_SECONDS, f"{seconds:.1f} s: {words}"
        nothing_lost(root, words, result)
        (root / "params.yaml").write_bytes(params)
        for name in ("sources.lock", "releases.lock", "dvc.lock"):
            (root / name).unlink(missing_ok=True)
        for path in (root / "in", root / "o"):
            shutil.rmtree(path, ignore_errors=True)


def raised(error: BaseException) -> Callable[..., None]:
    def act(*_: object, **__: object) -> None:
        raise error

    return act


def library_errors() -> list[tuple[BaseException, str]]:
    import dagster as dg
    import dvc.exceptions
    import mlflow.exceptions
    import sqlalchemy.exc
    from pydantic import TypeAdapter, ValidationError

    errors: list[tuple[BaseException, str]] = [
        (dvc.exceptions.DvcException("busy"), "DVC: busy; see `dvc status`"),
        (sqlalchemy.exc.SQLAlchemyError("locked\nby 7"), "Dagster or MLflow: locked by 7; if"),
        (pl.exceptions.ComputeError("torn"), "a table: torn; if a file"),
        (dg.DagsterInvariantViolationError("no job"), "Dagster: no job; `cortex doctor`"),
        (mlflow.exceptions.MlflowException("no run"), "MLflow: no run; `cortex sync`"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "data"), "the disk is full: free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), "correct the permissions"),
        (subprocess.CalledProcessError(1, ["git", "x"], stderr="fatal: no"), "fatal: no; run"),
        (subprocess.TimeoutExpired(["git"], 5), "a program: Command '['git']' timed out"),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), "save the file as UTF-8"),
        (RecursionError("maximum depth"), "nested too deeply"),
        (MemoryError(), "not enough memory"),
        (KeyError("rank"), "unexpected KeyError: rank; this is a fault of cortex-pipelines"),
        (AttributeError("no x"), "unexpected AttributeError: no x"),
        (AssertionError(), "unexpected AssertionError"),
    ]
    try:
        TypeAdapter(int).validate_python("x")
    except ValidationError as error:
        errors.append((error, "a wrong value: 1 validation error for int Input should be"))
    return errors


@pytest.mark.parametrize(("error", "words"), library_errors(), ids=lambda part: type(part).__name__)
def test_an_error_of_a_library_becomes_a_sentence(begun, tmp_path, monkeypatch, error: BaseException, words) -> None:
    root = tmp_path / "project"
    shutil.copytree(begun, root)
    monkeypatch.setattr("cortex_pipelines.config.load_parameters", raised(error))
    result = run(root, ["scan", "params.yaml"])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert words in line
    (log,) = (root / ".cortex" / "logs").iterdir()
    assert line.endswith(f"(traceback in {log})")
    assert type(error).__name__ in log.read_text()
    assert log.stat().st_mode & 0o077 == 0
    with pytest.raises(type(error)):
        CliRunner().invoke(main, ["--debug", "scan", str(root)], catch_exceptions=False)


def test_what_cannot_be_logged_is_said_all_the_same(begun: Path, tmp_path: Path, monkeypatch) -> None:
    root = tmp_path / "project"
    shutil.copytree(begun, root)
    (root / ".cortex").mkdir(exist_ok=True)
    (root / ".cortex" / "logs").write_text("in the way")
    monkeypatch.setattr("cortex_pipelines.config.load_parameters", raised(KeyError("rank")))
    result = run(root, ["scan", "params.yaml"])
    assert result.exit_code == 1
    assert "rank" in result.stderr
    assert "could not be written" in result.stderr


def test_control_c_is_no_error(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortex_pipelines.config.load_parameters", raised(KeyboardInterrupt()))
    result = run(begun, ["scan", "params.yaml"])
    assert result.exit_code == 130
    assert result.stderr.startswith("Error: interrupted; what was finished is kept")


@pytest.mark.timeout(1800)
def test_no_command_falls_over(begun: Path, tmp_path: Path) -> None:
    attack(begun, tmp_path, 0, 120)


@pytest.mark.attack
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(20))
def test_no_command_falls_over_in_ten_thousand(begun: Path, tmp_path: Path, part: int) -> None:
    attack(begun, tmp_path, 1000 + 500 * part, 500)
