import os
import random
import signal
import sqlite3
import string
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cortex_pipelines.retrieval.collection import PinnedEncoder
from cortex_pipelines.retrieval.notes.database import UNUSED_DAYS, AnswerCache, version_digest
from cortex_pipelines.retrieval.notes.note import LONGEST, NewNote, NoteError
from cortex_pipelines.retrieval.notes.project_notes import restore_context
from cortex_pipelines.retrieval.notes.store import EXCHANGES, FOLDED, ForgetSelection, NoteScope, NoteStore, summarise
from cortex_pipelines.retrieval.queries import QueryError
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

ANNA, BEN = "a" * 16, "b" * 16
NOTE = NewNote("prices are rounded half up to cents", "note", ANNA, "test")


@pytest.fixture
def store(tmp_path: Path) -> NoteStore:
    return NoteStore(tmp_path / "memory" / "shop.sqlite")


def exchange(number: int, author: str = ANNA) -> NewNote:
    text = f"how is topic{number} rounded? It fails on Mondays."
    return NewNote(text, "exchange", author, "test", f"by rule{number} of the ledger")


def search_texts(store: NoteStore, query: str, author: str = ANNA) -> list[str]:
    return [entry.text for _, entry in store.search(query, NoteScope(author), 10)]


def encode(texts: Sequence[str]) -> np.ndarray:
    """What is about money lies in one direction, all else in the other."""
    return np.array(
        [[1.0, 0.0] if {"price", "cost"} & set(text.split()) else [0.0, 1.0] for text in texts], dtype=np.float32
    )


def test_what_is_kept_is_found_by_its_words_and_has_origin_date_and_author(store: NoteStore) -> None:
    added = store.add(NOTE)
    store.add(replace(NOTE, text="the queue is drained at midnight"))
    ((_, entry),) = store.search("rounding of a price", NoteScope(BEN), 10)
    assert entry == added
    assert (entry.author, entry.origin, entry.at[10]) == (ANNA, "test", "T")
    store.add(replace(NOTE, text="getUserByName ignores case"))
    assert search_texts(store, "user by name") == ["getUserByName ignores case"]


def test_meaning_finds_what_words_do_not(store: NoteStore) -> None:
    texts = ["cost of storage", "the queue is drained"]
    for text in texts:
        store.add(replace(NOTE, text=text))
    assert search_texts(store, "price") == []
    both = store.search("price", NoteScope(ANNA), 1, PinnedEncoder("e1", encode))
    assert [entry.text for _, entry in both] == texts[:1]

    def fail(_: Sequence[str]) -> np.ndarray:
        raise AssertionError("vectors are kept")

    def only_the_query(texts: Sequence[str]) -> np.ndarray:
        return encode(texts) if list(texts) == ["price"] else fail(texts)

    again = store.search("price", NoteScope(ANNA), 1, PinnedEncoder("e1", only_the_query))
    assert [entry.text for _, entry in again] == texts[:1]
    with pytest.raises(AssertionError, match="vectors are kept"):
        store.search("price", NoteScope(ANNA), 1, PinnedEncoder("another", only_the_query))


def test_an_entry_is_superseded_once_and_never_changed(store: NoteStore) -> None:
    old = store.add(replace(NOTE, kind="decision"))
    new = store.add(replace(NOTE, text="prices are rounded to even", supersedes=old.id))
    assert search_texts(store, "rounded prices") == [new.text]
    history = store.search("rounded prices", NoteScope(ANNA, history=True), 10)
    assert {(e.id, e.superseded_by) for _, e in history} == {(old.id, new.id), (new.id, None)}
    with pytest.raises(NoteError, match=f"superseded by {new.id} already"):
        store.add(replace(NOTE, text="a third", supersedes=old.id))
    with pytest.raises(NoteError, match="no entry 0123456789ab"):
        store.add(replace(NOTE, text="a third", supersedes="0123456789ab"))
    assert search_texts(store, "third") == [], "what is refused leaves nothing"
    with sqlite3.connect(store.database.path) as db:
        for change in ("text = 'other'", "author = 'x'", "superseded_by = 'x'"):
            with pytest.raises(sqlite3.IntegrityError, match="entry is superseded"):
                db.execute(f"UPDATE entries SET {change} WHERE id = '{old.id}'")


def test_exchanges_are_their_author_s_and_older_ones_a_summary(store: NoteStore) -> None:
    for number in range(EXCHANGES + FOLDED - 1):
        store.add(exchange(number))
    assert len(store.list_notes(NoteScope(ANNA), 100, "exchange")) == EXCHANGES + FOLDED - 1
    assert store.list_notes(NoteScope(ANNA), 100, "summary") == []
    last = store.add(exchange(EXCHANGES + FOLDED - 1))
    exchanges = store.list_notes(NoteScope(ANNA), 100, "exchange")
    assert ([entry.text for entry in exchanges], exchanges[-1]) == ([exchange(n).text for n in range(FOLDED, 60)], last)
    (summary_note,) = store.list_notes(NoteScope(ANNA), 100, "summary")
    sentences = {"It fails on Mondays.", *(f"how is topic{n} rounded?" for n in range(FOLDED))}
    sentences |= {exchange(n).answer for n in range(FOLDED)}
    assert set(summary_note.text.split("\n")) < sentences, "its sentences are those of the exchanges"
    assert summary_note.origin.startswith(f"exchanges of {exchanges[0].at[:10]}")
    assert search_texts(store, "topic30")[0] == exchange(30).text
    assert search_texts(store, "topic30 ledger Mondays", BEN) == []
    assert store.list_notes(NoteScope(BEN), 100) == []
    with pytest.raises(NoteError, match="no entry"):
        store.add(replace(NOTE, author=BEN, supersedes=last.id))


def test_a_summary_says_once_what_is_said_most() -> None:
    text = summarise(["The cache is stale. Lunch was good.", "Why is the cache stale?", "Cache keys: stale."], most=2)
    assert "cache" in text.lower()
    assert len(text.split("\n")) == 2
    assert (summarise(["how is this", "and that"]), summarise(["one two"] * 3)) == ("", "one two")


MARKS = ("zebrafinch", "quokkaland", "wombatville", "numbatstone")


def bytes_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def test_what_is_forgotten_is_gone_from_the_bytes_of_all_files(store: NoteStore) -> None:
    folder = store.database.path.parent
    secret = store.add(replace(NOTE, text=f"the {MARKS[0]} migrates {'often ' * 2000}"))
    question = store.add(replace(exchange(1), text=MARKS[1], answer=f"{MARKS[2]} of course"))
    added = store.add(replace(NOTE, text=f"the emuplain stays {'here ' * 2000}", author=BEN))
    AnswerCache(store.database).store("context", MARKS, "v1", {"shown": MARKS[3]})
    store.search("zebrafinch", NoteScope(ANNA), 5, PinnedEncoder("e1", encode))
    for number in range(300):  # spread over pages, and merged in the index of words
        store.add(replace(NOTE, text=f"filler {number} zebrafinch{number}", origin="filler"))
    before = bytes_of(folder)
    assert all(mark.encode() in before for mark in MARKS)
    assert {entry.id for entry in store.forget(ForgetSelection((secret.id, question.id)))} == {secret.id, question.id}
    assert MARKS[1].encode() not in bytes_of(folder)
    store.forget(ForgetSelection(author=ANNA))
    after = bytes_of(folder)
    assert not any(mark.encode() in after for mark in MARKS)
    assert b"zebrafin" not in after, "nor the stems in the index of words"
    assert question.id.encode() not in after
    assert b"emuplain" in after
    assert search_texts(store, "emuplain stays", BEN) == [added.text]
    assert store.list_notes(NoteScope(ANNA), 10) == [added]


def test_a_forgotten_exchange_takes_the_summary_of_it_along(store: NoteStore) -> None:
    first = store.add(exchange(0))
    for number in range(1, EXCHANGES + FOLDED):
        store.add(exchange(number))
    (summary_note,) = store.list_notes(NoteScope(ANNA), 9, "summary")
    assert store.forget(ForgetSelection((first.id,))) == [summary_note]
    assert first.id.encode() not in bytes_of(store.database.path.parent)
    assert len(store.list_notes(NoteScope(ANNA), 100, "exchange")) == EXCHANGES


def test_only_what_was_added_before_a_day_or_matches_is_forgotten(store: NoteStore) -> None:
    store.add(NOTE)
    assert store.forget(ForgetSelection(before="2020-01-01")) == []
    assert store.forget(ForgetSelection(before="2999-01-01", matches=lambda e: "queue" in e.text)) == []
    assert len(store.forget(ForgetSelection(before="2999-01-01", author=ANNA))) == 1


def writer(store: NoteStore, name: str, count: int) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", CASES["WRITER"], str(store.database.path), name, str(count)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=dict(os.environ))


def test_processes_that_write_at_once_lose_nothing(store: NoteStore) -> None:
    writers = [writer(store, name, 25) for name in "abc"]  # all of them also make the file
    acknowledged = [line for process in writers for line in process.communicate()[0].split()]
    assert [process.returncode for process in writers] == [0, 0, 0]
    stored_ids = {entry.id for entry in store.list_notes(NoteScope(ANNA), 1000)}
    assert len(acknowledged) == 75
    assert stored_ids == set(acknowledged)


def test_a_kill_in_the_middle_loses_nothing_acknowledged(store: NoteStore) -> None:
    killed = writer(store, "killed", 100_000)
    assert killed.stdout is not None
    acknowledged = [killed.stdout.readline().strip() for _ in range(20)]
    killed.send_signal(signal.SIGKILL)
    acknowledged += killed.stdout.read().split("\n")[:-1]
    killed.wait()
    stored_ids = {entry.id for entry in store.list_notes(NoteScope(ANNA), 100_000)}
    assert set(acknowledged) <= stored_ids
    assert len(stored_ids) <= len(acknowledged) + 1
    assert len(store.search("entry killed", NoteScope(ANNA), 200)) == len(stored_ids)
    with sqlite3.connect(store.database.path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")


@pytest.mark.parametrize(
    ("draft", "words"),
    [
        (replace(NOTE, text=" \n"), "the text is empty"),
        (replace(NOTE, text="x" * (LONGEST + 1)), "has 20,001 characters, at most 20,000"),
        (replace(NOTE, text="a\0b"), "is not text that UTF-8 can hold"),
        (replace(NOTE, text="\ud800"), "is not text that UTF-8 can hold"),
        (replace(NOTE, answer="yes"), "only an exchange has an answer"),
        (replace(exchange(1), supersedes="0" * 12), "an exchange was held"),
    ],
)
def test_what_cannot_be_kept_gets_a_sentence(store: NoteStore, draft: NewNote, words: str) -> None:
    with pytest.raises(NoteError, match=words):
        store.add(draft)
    assert not store.list_notes(NoteScope(ANNA), 1)


def test_files_that_cannot_be_used_get_a_sentence(store: NoteStore) -> None:
    store.add(NOTE)
    path = store.database.path
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 9")
    with pytest.raises(NoteError, match="has format 9, and this version reads 2"):
        store.add(NOTE)
    path.write_bytes(b"not a database, and longer than a header of one " * 4)
    with pytest.raises(NoteError, match="is damaged"):
        store.list_notes(NoteScope(ANNA), 1)
    path.write_bytes(b"")  # a kill before the tables were made
    store.add(NOTE)
    assert search_texts(store, "rounded") == [NOTE.text]


@pytest.mark.parametrize("count", [400, pytest.param(4000, marks=pytest.mark.attack)])
def test_any_query_is_answered_or_gets_a_sentence(store: NoteStore, count: int) -> None:
    store.add(NOTE)
    chance = random.Random(5)
    letters = string.printable + "äß漢\0'\"()*^:{}-+ NEAR AND OR NOT"
    for _ in range(count):
        query = "".join(chance.choices(letters, k=chance.randrange(60)))
        with suppress(QueryError):
            store.search(query, NoteScope(ANNA), 3)
    assert search_texts(store, " ".join(f"word{n}" for n in range(600)) + " rounded") == [NOTE.text]


def test_cached_answers_hold_while_what_they_rest_on_does(store: NoteStore) -> None:
    clock_time = [1e9]
    answers = AnswerCache(store.database, lambda: clock_time[0], most=9)
    before, after = (version_digest({"files": version, "logs": None}) for version in ("1", "2"))
    assert answers.get("search", ["q", 3], before) is None
    answers.store("search", ["q", 3], before, {"results": [1]})
    assert answers.get("search", ["q", 3], before) == {"results": [1]}
    assert answers.get("context", ["q", 3], before) is None
    assert answers.get("search", ["q", 3], after) is None
    answers.store("search", "other", after, 1)
    assert answers.count() == 1, "those that rest on former versions are dropped"
    for number in range(9):
        clock_time[0] += 61
        answers.store("search", number, after, number)
        assert answers.get("search", "other", after) == 1, "what is used stays"
    assert answers.count() == 9
    assert answers.get("search", 0, after) is None
    clock_time[0] += (UNUSED_DAYS + 1) * 86_400
    answers.store("search", "new", after, 1)
    assert answers.count() == 1
    store.forget(ForgetSelection(("0" * 12,)))
    assert answers.count() == 0


def test_an_answer_is_made_once(store: NoteStore) -> None:
    answers, calls = AnswerCache(store.database), []

    def make() -> tuple[int, bool]:
        calls.append(1)
        return len(calls), len(calls) > 1

    results = [answers.get_or_make("k", "q", "basis", make) for _ in range(3)]
    assert results == [1, 2, 2], "the first was not to be kept"


def test_a_project_is_as_somebody_left_it(store: NoteStore) -> None:
    versions: dict[str, str | None] = {"files": "1", "graph": None}
    first = restore_context(store, "shop", ANNA, versions, {"files": 3})
    assert [first[name] for name in ("since", "changed", "added", "notes")] == [None, [], 0, []]
    store.add(exchange(1))
    decided = store.add(replace(NOTE, kind="decision"))
    by_ben = store.add(replace(NOTE, text="the queue is drained", author=BEN))
    store.add(exchange(2, BEN))
    again = restore_context(store, "shop", ANNA, versions | {"files": "2"}, {"files": 3})
    assert again["since"] is not None
    assert (again["changed"], again["added"]) == (["files"], 1)
    assert [entry["text"] for entry in again["history"]] == [exchange(1).text]
    assert again["notes"] == [decided.as_json(), by_ben.as_json()]
    assert restore_context(store, "shop", ANNA, versions | {"files": "2"}, {})["changed"] == []
    assert [entry["author"] for entry in restore_context(store, "shop", BEN, versions, {})["history"]] == [BEN]


@pytest.mark.parametrize(("query", "text"), CASES["notes_are_found_in_any_language"])
def test_notes_are_found_in_any_language(tmp_path: Path, query: str, text: str) -> None:
    store = NoteStore(tmp_path / "notes.sqlite")
    texts = [
        *("读取用户的配置文件时出错", "ユーザーの設定を読み込む", "The C++ build needs clang"),
        *("The C build needs make", "Bindings for .NET are generated", "The net is a graph"),
        "Die Gro\u0308ße berechnen",
    ]
    for each in texts:
        store.add(NewNote(each, "note", "author", "test"))
    assert [entry.text for _, entry in store.search(query, NoteScope("author"), 9)] == [text]
