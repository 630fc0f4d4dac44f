"""Secrets and personal data are planted wherever a source can hold them, and looked for after.

The short form runs what reads sources or logs, the long one also what depends on their outputs.
"""

import gzip
import io
import json
import random
import shutil
import sqlite3
import string
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.ingestion.pretrained_models import ModelSource
from cortex_pipelines.routing.router_from_logs import open_model, train_on_logs
from cortex_pipelines.schemas.extraction import REFACTORING_PAIRS
from cortex_pipelines.versioning.project import ProjectError, read_yaml, write_yaml
from cortex_pipelines_tests.conftest import made_once
from cortex_pipelines_tests.embeddings.tinyencoder import make_tiny_encoder
from cortex_pipelines_tests.integration.miniproject import MiniProject, git, run_in
from cortex_pipelines_tests.parameters import load_cases

_DRAW = random.Random(20)


def random_text(count: int, letters: str = string.ascii_letters + string.digits) -> str:
    return "".join(_DRAW.choice(letters) for _ in range(count))


class Planted:
    """One set of private values, so that a leak tells where it came from."""

    def __init__(self, marker: str) -> None:
        self.marker = marker
        self.aws = "AKIA" + random_text(16, "ABCDEFGHJKLMNPQRSTUVWXYZ234567")
        self.github = "ghp_" + random_text(36)
        self.password = "Tr0ub" + random_text(9) + "7q"
        self.mail = f"{marker}.{random_text(5, string.ascii_lowercase)}@kestrel-{random_text(4, 'abcd')}.io"
        self.address = f"93.{_DRAW.randrange(100, 250)}.{_DRAW.randrange(100, 250)}.77"
        self.phone = f"+49 151 {_DRAW.randrange(23456780, 89999999)}"
        self.material = [random_text(64) for _ in range(3)]

    @property
    def key(self) -> str:
        kind = "RSA PRIVATE KEY"
        return "\n".join([f"-----BEGIN {kind}-----", *self.material, f"-----END {kind}-----"])

    @property
    def prose(self) -> str:
        return (
            f"rotate {self.aws} and {self.github}, then mail {self.mail} from {self.address} or "
            f'call {self.phone}; password = "{self.password}"\n{self.key}\n'
        )

    @property
    def names(self) -> list[str]:
        """Names of files, folders and branches that hold one of the values each."""
        return [
            f"old_{self.aws}_copy.py",
            f"my_{self.github}.txt",
            f"{self.mail}.md",
            f"host-{self.address}.log",
            f"password={self.password}.ini",
            f"{self.phone.replace(' ', '-')}.vcf",
        ]

    @property
    def values(self) -> list[str]:
        phones = [self.phone, self.phone.replace(" ", "-"), self.phone.replace(" ", "")[1:]]
        return [
            *(self.aws, self.github, self.password, self.mail, self.mail.partition("@")[0]),
            *(self.address, *phones, *self.material),
        ]


def leaks(folder: Path, planted: list[Planted], left_out: tuple[Path, ...] = ()) -> list[str]:
    """Where a planted value stands below a folder: in names, bytes, and what bytes unpack to."""
    values = {v.encode(): f"{item.marker}: {v}" for item in planted for v in item.values}
    holders = []
    for path in sorted(folder.rglob("*")):
        if any(path.is_relative_to(other) for other in left_out):
            continue
        name = path.relative_to(folder).as_posix()
        texts = [name.encode()]
        if path.is_file():
            texts += unpacked(path)
        holders += [f"{name} holds {label}" for v, label in values.items() if any(v in text for text in texts)]
    return holders


def unpacked(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and what they say once they are decompressed or decoded."""
    data = path.read_bytes()
    yield data
    yield from _from_json(data)
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    elif data[:1] == b"\x78":
        with suppress(zlib.error):
            yield zlib.decompress(data)
    elif data[:4] == b"PAR1":
        yield _frame_text(pl.read_parquet(io.BytesIO(data)))
    elif data[:16] == b"SQLite format 3\0":
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            yield "\n".join(database.iterdump()).encode("utf-8", "surrogatepass")
    start = data.find(b"ARROW1\0\0")
    while start >= 0:  # the row cache, also where it packs several tables into a file
        following = data.find(b"ARROW1\0\0", start + 1)
        # a file ends in the same word; a hash may stand behind it
        end = data.rfind(b"ARROW1", start, None if following < 0 else following) + len(b"ARROW1")
        yield _frame_text(pl.read_ipc(io.BytesIO(data[start:end])))
        start = following


def _from_json(data: bytes) -> Iterator[bytes]:
    try:
        yield json.dumps(json.loads(data), ensure_ascii=False).encode("utf-8", "surrogatepass")
    except ValueError:
        return


def _frame_text(frame: pl.DataFrame) -> bytes:
    return frame.write_ndjson().encode("utf-8", "surrogatepass")


CASES = load_cases(__file__)
ROOT = Path(__file__).parents[2]
PLANTED = {place: Planted(place) for place in CASES["PLACES"]}
READING, FURTHER = CASES["READING"], CASES["FURTHER"]
BEFORE = "def total(values):\n    result = 0\n    for value in values:\n        result += value\n"
CALL = "    return result\n\n\ndef show(values):\n    print(total(values))\n"


def ids(item: Planted) -> list[str]:
    return [f"task-{item.mail}", f"{item.mail}-42", f"my_{item.github}", f"host-{item.address}"]


def records() -> Iterator[dict[str, Any]]:
    """Records of a log with private values in each of its parts."""
    title, outcome, person, payload = (PLANTED[key] for key in ("title", "outcome", "person", "payload"))
    for number, prose in enumerate(title.prose.split("; ")):
        yield {"task_id": f"task-{number}", "title": prose, "routed_to": "security"}
    for number, name in enumerate(title.names):
        task = {"title": f"look at keys/{name}, please", "routed_to": "cicd"}
        yield {"task_id": f"task-9{number}", **task, "outcome": "completed"}
    yield {"task_id": "task-1", "routed_to": "security", "outcome": f"failed: {outcome.prose}"}
    for name in ids(PLANTED["taskid"]):
        yield {"task_id": name, "title": f"Scan for {name}", "routed_to": "security"}
        yield {"task_id": name, "master": "security", "success": True}
    yield {"worker_id": "worker-1", "created_by": person.mail, "owner": {"phone": person.phone}}
    yield {"worker_id": "worker-2", "user": person.mail.partition("@")[0], "cpu": 3}
    yield {"event_type": "a", "mobile": int(person.phone.replace(" ", "")), "by": [person.mail]}
    yield {
        "event_type": "tool.called",
        "payload": {
            **dict.fromkeys(payload.names, 1),
            "password": payload.password,
            "environment": [{"name": "DB_PASSWORD", "value": payload.password}],
            "steps": [[{"said": payload.prose}]],
            "url": f"postgres://joe:{payload.password}@db.kestrel.io/x",
        },
    }


def write_logs(folder: Path) -> None:
    shutil.copytree(ROOT / "data" / "samples" / "coordination", folder)
    item = PLANTED["logname"]
    lines = "".join(json.dumps(record) + "\n" for record in records())
    log_file = folder / item.names[0] / f"{item.mail}.jsonl"
    log_file.parent.mkdir()
    log_file.write_text(lines)


def write_history(folder: Path) -> None:
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "app.py").write_text(f'"""Begin.\n\n{PLANTED["text"].prose}"""\n')
    file_names, folder_names = PLANTED["filename"].names, PLANTED["folder"].names
    for name in file_names:
        (folder / name).write_text(BEFORE + CALL)
    for name in folder_names:
        (folder / name).mkdir()
        (folder / name / "inside.py").write_text(f"import app\nNAME = {len(name)}\n")
    (folder / "notebook.ipynb").write_text(json.dumps(notebook()))
    (folder / "picture.png").write_bytes(picture(PLANTED["image"].prose))
    commit(folder, "Begin with all of it")
    (folder / file_names[0]).write_text((BEFORE + CALL).replace("total", "sum_of_all"))
    commit(folder, f"Rename the function that adds up\n\n{PLANTED['message'].prose}")
    for number, name in enumerate(PLANTED["branch"].names[:2]):
        git(folder, "branch", f"fix-{number}/{name}")
    for name in PLANTED["tag"].names[:2]:
        git(folder, "tag", "-m", PLANTED["tag"].prose, name)


def commit(folder: Path, message: str) -> None:
    item = PLANTED["author"]
    git(folder, "add", "-A")
    people = {f"GIT_{role}_NAME": item.github for role in ("AUTHOR", "COMMITTER")}
    people |= {f"GIT_{role}_EMAIL": item.mail for role in ("AUTHOR", "COMMITTER")}
    run_in(folder, "git", "commit", "-q", "-m", message, **people)


def notebook() -> dict[str, Any]:
    output = {"output_type": "stream", "name": "stdout", "text": [PLANTED["output"].prose]}
    source = [f"# {line}\n" for line in PLANTED["cell"].prose.splitlines()]
    cell = {"cell_type": "code", "metadata": {}, "source": source, "outputs": [output]}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}


def picture(text: str) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        sum_of = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + sum_of

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    note = chunk(b"tEXt", b"Comment\0" + text.encode("latin-1"))
    return b"\x89PNG\r\n\x1a\n" + head + note + chunk(b"IDAT", zlib.compress(b"\0\0"))


def write_archive(path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.comment = PLANTED["comment"].prose.encode()
        for name in PLANTED["member"].names:
            archive.writestr(f"{name}/{name}", "value = 1\n")
        archive.writestr(f"../{PLANTED['member'].names[0]}", "value = 1\n")
    path.write_bytes(data.getvalue())


def write_directory(folder: Path) -> None:
    folder.mkdir()
    for name in PLANTED["directory"].names:
        (folder / name).mkdir()
        (folder / name / name).write_text("value = 1\n")
    (folder / f"{PLANTED['directory'].mail}.rs").symlink_to("nowhere")


def aim(values: Any) -> None:
    values["projects"] = CASES["projects"]
    values["coordination"]["logs"] = "sources/logs"


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> tuple[MiniProject, str]:
    """A project whose hostile sources are read, and what was printed meanwhile; all share it, and only read it."""

    def make(root: Path) -> MiniProject:
        mini = MiniProject.create(root, write_sources, aim, write_no_base)
        printed_in(root).write_text(mini.cortex("run", *READING).output)
        return mini

    mini = made_once(tmp_path_factory, "private_data", make)
    return mini, printed_in(mini.root).read_text()


def printed_in(root: Path) -> Path:
    return root.with_name(f"{root.name}.printed")


def write_no_base(folder: Path) -> None:
    """What can be pinned; nothing that is made here loads it, and PyTorch takes seconds to load."""
    folder.mkdir(parents=True)
    (folder / "model.safetensors").touch()


def write_sources(sources: Path) -> None:
    write_history(sources / "alpha")
    write_logs(sources / "logs")
    write_archive(sources / "packed.zip")
    write_directory(sources / "folder")


def test_nothing_private_is_kept_outside_of_the_sources(attacked: tuple[MiniProject, str]) -> None:
    nothing_private_in(*attacked)


@pytest.mark.attack
def test_nothing_private_is_kept_by_what_is_made_of_it(attacked, tmp_path: Path) -> None:
    mini = attacked[0].copy(tmp_path / "further")
    nothing_private_in(mini, attacked[1] + mini.cortex("run", *FURTHER).output)
    assert all((mini.root / "data" / name).is_dir() for name in FURTHER)


def nothing_private_in(mini: MiniProject, printed: str) -> None:
    clones = (mini.root / "sources", mini.root / ".cortex" / "cache" / "git")
    assert all(leaks(clone, list(PLANTED.values())) for clone in clones)
    assert leaks(mini.root, list(PLANTED.values()), clones) == []
    assert not [v for item in PLANTED.values() for v in item.values if v in printed]


def test_what_was_taken_out_is_counted(attacked: tuple[MiniProject, str]) -> None:
    data = attacked[0].root / "data"
    logs = json.loads((data / "coordination_events" / "compliance.json").read_text())
    rules = {finding["rule"] for finding in logs["found"]}
    assert rules >= {"aws-access-key", "github-token", "email", "phone", "password", "person"}
    assert logs["records"]["redacted"] >= len(PLANTED["title"].names)
    report = json.loads((data / "compliance" / "alpha" / "compliance.json").read_text())
    in_paths = [location for location in report["places"] if location["line"] == 0]
    assert {location["rule"] for location in in_paths} >= {"aws-access-key", "github-token", "email"}


def test_records_and_paths_stay_joinable(attacked: tuple[MiniProject, str]) -> None:
    data = attacked[0].root / "data"
    events = pl.read_parquet(data / "coordination_events" / "events.parquet")
    counts = events.filter(pl.col("task_id").str.starts_with("redacted-")).group_by("task_id").len()["len"]
    assert counts.to_list() == [2] * len(ids(PLANTED["taskid"]))
    assert "task-1000" in set(events["task_id"])  # of the sample, as it was
    files = pl.read_parquet(data / "repository_files" / "alpha" / "files.parquet")
    history = pl.read_parquet(data / "repository_commits" / "alpha" / "commits.parquet")
    alpha_paths = set(files.filter(pl.col("source") == "git:sources/alpha")["path"])
    assert alpha_paths - {"picture.png"} <= set(history["paths"].explode())
    assert {"app.py", "notebook.ipynb"} < alpha_paths
    python = files.filter(language="python")["path"].to_list()
    assert sum(path.startswith("redacted-") for path in python) >= 1 + len(PLANTED["folder"].names)
    pairs = REFACTORING_PAIRS.read(data / "refactoring_pairs" / "alpha")
    assert pairs.height  # of the file whose name is another one in git


@pytest.mark.parametrize("key", ["ref", "directory"])
def test_a_private_place_is_refused_without_a_word_of_it(tmp_path: Path, key: str) -> None:
    item = PLANTED["branch"]
    for name in item.names:
        source = {"git": "alpha", "ref": name} if key == "ref" else {"directory": f"code/{name}"}
        values = read_yaml(ROOT / "params.yaml")
        values["projects"]["alpha"] = {"sources": [source]}
        write_yaml(tmp_path / "params.yaml", values)
        with pytest.raises(ProjectError, match=rf"projects\.alpha\.sources\.0\.{key}") as refused:
            load_parameters(tmp_path)
        assert not [value for value in item.values if value in str(refused.value)]


def test_errors_of_ingestion_name_no_private_branch(attacked: tuple[MiniProject, str], tmp_path: Path) -> None:
    mini = attacked[0].copy(tmp_path / "astray")

    def astray(values: Any) -> None:
        values["projects"]["alpha"]["sources"][0]["ref"] = "nowhere"

    mini.edit_params(astray)
    output = mini.cortex("update", status=1).output
    assert "no branch, tag or commit" in output
    assert "redacted-" in output
    assert not [value for value in PLANTED["branch"].values if value in output]


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parameters:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    parameters = load_parameters(ROOT)
    (tmp_path / "encoder").mkdir()
    source = ModelSource(directory=str(make_tiny_encoder(tmp_path / "encoder")))
    quick = {"trials": 1, "epochs": 2, "max_tokens": 32, "kernel_features": 64, "folds": 3}
    models = parameters.models.model_copy(update={"encoder": source})
    return parameters.model_copy(update={"models": models, "routing": parameters.routing.model_copy(update=quick)})


def test_a_router_trained_outside_the_graph_has_nothing_private(tmp_path: Path, params: Parameters) -> None:
    write_logs(tmp_path / "logs")
    train_on_logs(tmp_path / "logs", tmp_path / "out", params)
    planted = list(PLANTED.values())
    assert leaks(tmp_path, planted, (tmp_path / "logs",)) == []
    assert "redacted-" in (tmp_path / "out" / "neighbours.jsonl").read_text()
    (decision,) = open_model(tmp_path / "out").route([PLANTED["title"].prose])
    answered = json.dumps(decision.as_json())
    assert not [value for item in planted for value in item.values if value in answered]
