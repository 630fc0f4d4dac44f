"""The audit log: complete, without prompts, and every tampering shows."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest.mock import Mock

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.serving.security.audit import FILE, FIRST, AuditLog, verify
from cortex_pipelines.serving.security.keys import KeyRing
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.serving import tinygateway

CASES = load_cases(__file__)
PEOPLE = ("anna", "bert", "carl")
SECRET = "the_prompt_that_nobody_keeps"
ASKED = {"model": "shop", "prompt": f"# {SECRET}", "max_tokens": 1}


def write_log(folder: Path, count: int = 5, keys: Sequence[str] = ("a",)) -> list[str]:
    log = AuditLog(folder)
    for number in range(count):
        log.add({"key": keys[number % len(keys)], "status": number})
    return (folder / FILE).read_text().splitlines()


@pytest.fixture(scope="module")
def keys(state: Path) -> KeyRing:
    return KeyRing(state / "keys")


@pytest.fixture(scope="module")
def client(home: Path, state: Path, keys: KeyRing) -> Iterator[TestClient]:
    with tinygateway.web_client(tinygateway.open_tiny(home, state), keys=keys, audit=AuditLog(state)) as client:
        yield client


def test_who_asked_for_what_is_written_and_no_prompt(client: TestClient, state: Path, keys: KeyRing) -> None:
    headers = {"authorization": f"Bearer {keys.create('anna', ['complete'])}"}
    client.post("/v1/completions", json=ASKED, headers=headers)
    client.post("/v1/completions", json=ASKED | {"stream": True}, headers=headers)
    client.post("/v1/completions", json=ASKED | {"model": SECRET}, headers=headers)
    client.post("/v1/completions", json=ASKED)
    client.post("/route", json={"task": SECRET}, headers=headers)
    client.get(f"/{SECRET}", headers=headers)
    client.get(f"/v1/models/{SECRET}", headers=headers)
    client.get("/healthz")
    text = (state / FILE).read_text()
    assert SECRET not in text
    entries = [json.loads(line) for line in text.splitlines()]
    rows = [(row["key"], row["route"], row["model"], row["status"]) for row in entries]
    path = "/v1/completions"
    assert rows[:5] == [
        ("anna", path, "shop", 200),
        ("anna", path, "shop", 200),
        ("anna", path, "", 404),
        ("", path, "", 401),
        ("anna", "/route", "", 403),
    ]
    assert [row[3] for row in rows[5:]] == [404, 403], "looking at the gateway's health is not"
    assert {row["version"] for row in entries[:2]} == {"shop.dir"}
    assert verify(state / FILE).entries == 7


def test_nothing_is_answered_that_cannot_be_written_down(client: TestClient, keys: KeyRing, monkeypatch) -> None:
    monkeypatch.setattr(AuditLog, "add", Mock(side_effect=OSError(28, "No space left on device")))
    answer = client.post("/v1/completions", json=ASKED, headers={"authorization": f"Bearer {keys.create('bert')}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "audit_failed")


def test_a_chain_is_whole_and_an_earlier_hash_shows_lines_taken_out_at_its_end(tmp_path: Path) -> None:
    lines = write_log(tmp_path)
    assert json.loads(lines[0])["previous"] == FIRST
    check = verify(tmp_path / FILE)
    assert (check.entries, check.problem, check.unfinished) == (5, "", False)
    AuditLog(tmp_path).add({"status": 5})
    assert verify(tmp_path / FILE, check.head).entries == 6, "another process goes on"
    lines = write_log(tmp_path)
    head = verify(tmp_path / FILE).head
    (tmp_path / FILE).write_text("".join(f"{line}\n" for line in lines[:3]))
    assert not verify(tmp_path / FILE).problem
    assert "taken out" in verify(tmp_path / FILE, head).problem


TAMPERING: dict[str, Callable[[list[str]], list[str]]] = {
    "changed": lambda lines: [*lines[:2], lines[2].replace('"a"', '"b"'), *lines[3:]],
    "taken out": lambda lines: lines[:2] + lines[3:],
    "taken out at the start": lambda lines: lines[1:],
    "twice": lambda lines: [*lines[:3], *lines[2:]],
    "exchanged": lambda lines: [lines[1], lines[0], *lines[2:]],
    "made unreadable": lambda lines: [*lines[:2], lines[2][:-9], *lines[3:]],
    "put in": lambda lines: [*lines[:2], "anything", *lines[2:]],
}


@pytest.mark.parametrize("tampering", TAMPERING)
def test_tampering_is_noticed_and_its_place_named(tmp_path: Path, tampering: str) -> None:
    (tmp_path / FILE).write_text("".join(f"{line}\n" for line in TAMPERING[tampering](write_log(tmp_path))))
    check = verify(tmp_path / FILE)
    assert check.problem.startswith("line ")
    assert check.entries <= 3


@given(cuts=st.lists(st.integers(min_value=1, max_value=400), min_size=1, max_size=4))
def test_a_kill_in_the_middle_of_a_line_breaks_nothing(tmp_path_factory, cuts: list[int]) -> None:
    folder = tmp_path_factory.mktemp("killed")
    path = folder / FILE
    whole_entries = 0
    for cut in cuts:
        before = path.read_bytes() if path.exists() else b""
        write_log(folder, 1)
        line = path.read_bytes()[len(before) :]
        path.write_bytes(before + line[: min(cut, len(line))])
        assert not verify(path).problem
        write_log(folder, 2)
        whole_entries += 2
        check = verify(path)
        assert not check.problem
        assert not check.unfinished
        assert check.entries >= whole_entries


def writer(folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", CASES["WRITING"], str(folder)], cwd=tinygateway.ROOT)


def test_several_processes_write_one_chain(tmp_path: Path) -> None:
    assert [process.wait() for process in [writer(tmp_path), writer(tmp_path)]] == [0, 0]
    check = verify(tmp_path / FILE)
    assert (check.entries, check.problem) == (100, "")


def test_who_is_forgotten_leaves_the_entries_and_the_chain_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / FILE
    write_log(tmp_path, 6, PEOPLE)
    with path.open("ab") as file:
        file.write(b'{"at": 1, "key": "an')  # what a kill leaves
    AuditLog(tmp_path).add({"key": "carl", "status": 6})
    running = AuditLog(tmp_path)
    running.add({"key": "carl", "status": 7})
    before = verify(path)
    original = path.read_text().splitlines()[0]
    assert AuditLog(tmp_path).forget(lambda name: name == "anna") == 2
    text = path.read_text()
    assert '"an' not in text
    assert json.loads(original)["nonce"] not in text, "a guess of the name cannot be tried"
    running.add({"key": "bert", "status": 8})
    check = verify(path, before.head)
    assert (check.entries, check.problem, check.redacted) == (before.entries + 2, "", 3)
    entries = [json.loads(line) for line in text.splitlines()]
    assert [entry["status"] for entry in entries[:-1]] == [*range(8)]
    assert sum("key" in entry for entry in entries) == 5
    assert AuditLog(tmp_path).forget(lambda name: name == "anna") == 0
    assert AuditLog(tmp_path).forget(lambda name: name == "bert") == 3
    check = verify(path, before.head)
    assert (check.problem, check.redacted) == ("", 6), "one deletion does not undo another"


@pytest.mark.parametrize(
    "forged",
    [
        lambda lines: [lines[0].replace('"status": 0', '"status": 9'), *lines[1:]],
        lambda lines: [lines[0], _as_redacted(lines[1]), *lines[2:]],
        lambda lines: lines[:-1],
        lambda lines: [*lines[:-1], lines[-1].replace("digest", "digits")],
    ],
)
def test_a_deletion_that_nobody_made_is_noticed(tmp_path: Path, forged: Callable[[list[str]], list[str]]) -> None:
    path = tmp_path / FILE
    write_log(tmp_path, 6, PEOPLE)
    AuditLog(tmp_path).forget(lambda name: name == "anna")
    assert not verify(path).problem
    lines = forged(path.read_text().splitlines())
    path.write_text("".join(f"{line}\n" for line in lines))
    assert "do not match their tombstone" in verify(path).problem


def _as_redacted(line: str) -> str:
    was = hashlib.sha256(line.encode()).hexdigest()
    return json.dumps({"was": was, "redacted": "x", "previous": json.loads(line)["previous"]})


def test_nothing_that_is_written_meanwhile_is_lost(tmp_path: Path) -> None:
    write_log(tmp_path, 1)
    process = writer(tmp_path)
    while process.poll() is None:
        AuditLog(tmp_path).forget(lambda name: name == "a")
    AuditLog(tmp_path).forget(lambda name: name == "a")
    check = verify(tmp_path / FILE)
    assert (check.redacted, check.problem) == (51, "")


def test_the_command(project: Path) -> None:
    assert "nobody has asked yet" in cortex("audit", "verify", status=1).stderr
    folder = project / ".cortex" / "serving"
    lines = write_log(folder)
    stdout = cortex("audit", "verify").stdout
    assert stdout.startswith("5 entries are whole,")
    cortex("audit", "verify", "--head", stdout.split()[-1])
    (folder / FILE).write_text("\n".join([*lines[:2], lines[2].replace("2", "3", 1), lines[3]]))
    assert "line 4 does not follow" in cortex("audit", "verify", status=1).stderr
