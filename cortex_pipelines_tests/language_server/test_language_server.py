"""What an editor is told and answered."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from lsprotocol import types

from cortex_pipelines.language_server import server
from cortex_pipelines.language_server.gateway import Options
from cortex_pipelines_tests.language_server.editor import Editor, editing

URI = "file:///nowhere/smelly.py"
SMELLY = """\
def total(values, s="😀", seen=[]):
    if values == 1:
        return True
    else:
        return False
"""


def full_range(text: str) -> types.Range:
    return types.Range(types.Position(0, 0), types.Position(text.count("\n") + 1, 0))


def applied(text: str, action: types.CodeAction) -> str:
    """A text after an action, as an editor applies it: by UTF-16 units, the last edit first."""
    assert action.edit is not None
    (change,) = action.edit.document_changes or ()
    assert isinstance(change, types.TextDocumentEdit)
    lines = text.split("\n")
    starts = [sum(len(line.encode("utf-16-le")) + 2 for line in lines[:number]) for number in range(len(lines) + 1)]
    data = text.encode("utf-16-le")
    for edit in sorted(change.edits, key=lambda edit: edit.range.start, reverse=True):
        start, end = (starts[position.line] + position.character * 2 for position in (edit.range.start, edit.range.end))
        data = data[:start] + edit.new_text.encode("utf-16-le") + data[end:]
    return data.decode("utf-16-le")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_TYPING_PAUSE", 0.0)
    monkeypatch.setattr(server, "_COMPLETION_PAUSE", 0.01)


def run(test: Callable[[Editor], Awaitable[None]]) -> None:
    async def connected() -> None:
        async with editing(Options(gateway="")) as (editor, _):
            await test(editor)

    asyncio.run(asyncio.wait_for(connected(), 60))


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_findings_are_shown_and_mended(line_end: str) -> None:
    text = SMELLY.replace("\n", line_end)

    async def test(editor: Editor) -> None:
        editor.open(URI, text)
        diagnostics = await editor.diagnostics(URI)
        assert [(each.code, each.range.start.line, each.source) for each in diagnostics] == [
            ("mutable-default", 0, "cortex"),
            ("redundant-boolean", 1, "cortex"),
        ]
        assert diagnostics[0].range == types.Range(types.Position(0, 26), types.Position(0, 33))
        actions = await editor.actions(URI, diagnostics[1].range)
        (title,) = [title for title in actions if title.startswith("redundant-boolean: ")]
        mended = text.replace(f"    if values == 1:{line_end}", "    return values == 1").partition("== 1")[0]
        assert applied(text, actions[title]) == f"{mended}== 1{line_end}"
        assert actions[title].is_preferred
        assert list(actions[title].diagnostics or ()) == [diagnostics[1]]
        silenced = applied(text, actions["Ignore redundant-boolean here"])
        assert f"if values == 1:  # cortex: ignore[redundant-boolean]{line_end}" in silenced
        editor.change(URI, 2, types.TextDocumentContentChangeWholeDocument(silenced))
        assert [each.code for each in await editor.diagnostics(URI, 2)] == ["mutable-default"]
        editor.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(URI)))
        assert await editor.diagnostics(URI, None) == []
        assert await editor.actions(URI, full_range(text)) == {}
        assert editor.messages == []

    run(test)


def test_an_action_is_of_the_kind_that_is_asked_for_and_of_the_text_as_it_is() -> None:
    twice = SMELLY + SMELLY.replace("total", "other").replace(", seen=[]", "")

    async def test(editor: Editor) -> None:
        editor.open(URI, "x = 1\n")
        editor.change(URI, 2, types.TextDocumentContentChangeWholeDocument(twice))
        # at once, before the pause of typing is over
        actions = await editor.actions(URI, full_range(twice), ["quickfix"])
        fixed = applied(twice, actions["Fix all 2 redundant-boolean in this file"])
        assert (fixed.count("return values == 1\n"), fixed.count("else")) == (2, 0)
        only = await editor.actions(URI, full_range(twice), ["source.fixAll"])
        assert [action.kind for action in only.values()] == ["source.fixAll.cortex"]
        compile(applied(twice, *only.values()), "fixed.py", "exec")

    run(test)


@pytest.mark.parametrize("header", ["def f(a=[], b=1 + \\\n        2):\n", "def f(a=[], b='''\n  '''):\n"])
def test_a_comment_that_silences_stands_where_it_is_a_comment(header: str) -> None:
    text = f"{header}    a.append(b)\n    return a\n"

    async def test(editor: Editor) -> None:
        editor.open(URI, text)
        (diagnostic,) = await editor.diagnostics(URI)
        actions = await editor.actions(URI, diagnostic.range)
        assert applied(text, actions["Ignore mutable-default here"]) == f"# cortex: ignore[mutable-default]\n{text}"

    run(test)


@pytest.mark.parametrize(
    ("uri", "language", "text", "codes"),
    [
        ("untitled:Untitled-1", "python", SMELLY, ["mutable-default", "redundant-boolean"]),
        ("git:/nowhere/smelly.py?HEAD", "python", SMELLY, []),  # a view of a former version
        ("file:///nowhere/notes.md", "markdown", SMELLY, []),
        ("file:///nowhere/a%20b%20%C3%A9.py", "python", SMELLY, ["mutable-default", "redundant-boolean"]),
        ("file:///nowhere/half.py", "python", "def f(a=[], \n\ud83d", []),
        ("file:///nowhere/big.py", "python", "x = 1\n" * 400_000 + SMELLY, []),
        ("file:///nowhere/empty.py", "python", "", []),
        ("file:///nowhere/made.py", "python", "# Code generated by a program. DO NOT EDIT.\n" + SMELLY, []),
    ],
    ids=["untitled", "view", "markdown", "space", "half", "big", "empty", "generated"],
)
def test_each_file_has_its_diagnostics(uri: str, language: str, text: str, codes: list[str]) -> None:
    async def test(editor: Editor) -> None:
        editor.open(uri, text, language)
        assert [each.code for each in await editor.diagnostics(uri)] == codes
        assert editor.messages == []

    run(test)


@pytest.mark.parametrize(
    ("section", "project", "codes", "messages"),
    [
        ("check: {select: [], ignore: [mutable-default]}", "", ["redundant-boolean"], 0),
        ("check: {ignore: [no-such-rule]}", "", [], 1),
        ("projects: {shop: {sources: []}}", "nobody", [], 1),
    ],
)
def test_a_project_says_what_is_found(
    section: str, project: str, codes: list[str], messages: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(f"{section}\n")
    uri = (tmp_path / "smelly.py").as_uri()

    async def test() -> None:
        async with editing(Options(gateway="", project=project)) as (editor, _):
            editor.open(uri, SMELLY)
            assert [each.code for each in await editor.diagnostics(uri)] == codes
            assert [("could not be checked" in each) for each in editor.messages] == [True] * messages

    asyncio.run(asyncio.wait_for(test(), 60))
