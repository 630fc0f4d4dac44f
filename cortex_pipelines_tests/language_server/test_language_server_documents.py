"""Positions in open files, in the units of editors."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol.types import Position, PositionEncodingKind, Range, TextDocumentContentChangePartial
from pygls.workspace import PositionCodec

from cortex_pipelines.language_server.documents import OpenDocument

TEXT = st.text("ab\té😀\f\x85\u2028\r\n", max_size=30)
UTF16 = PositionEncodingKind.Utf16


def document(text: str, encoding: PositionEncodingKind = UTF16) -> OpenDocument:
    return OpenDocument("file:///a.py", text, 1, position_codec=PositionCodec(encoding))


@pytest.mark.parametrize(
    ("text", "position", "offset", "encoding"),
    [
        ("x\ny = 1\n", (1, 4), 6, UTF16),
        ("x\r\ny = 1\r\n", (1, 4), 7, UTF16),
        ("x\ry", (1, 1), 3, UTF16),
        ("s = '😀'; y", (0, 9), 8, UTF16),  # an emoji is two units of UTF-16
        ("s = '😀'; y", (0, 11), 8, PositionEncodingKind.Utf8),
        ("s = '😀'; y", (0, 8), 8, PositionEncodingKind.Utf32),
        ("\tx = 1", (0, 1), 1, UTF16),  # a tab is one unit
        ("a\f\nb\u2028c\x85d\ne", (2, 1), 10, UTF16),  # none of them ends a line
        ("abc\ndef", (0, 99), 3, UTF16),  # the end of the line, not of the file
        ("abc\r\ndef", (0, 99), 3, UTF16),
        ("abc\n", (1, 0), 4, UTF16),
        ("abc", (7, 3), 3, UTF16),
        ("", (0, 0), 0, UTF16),
        ("😀b", (0, 1), 0, UTF16),  # in the middle of a character: before it
        ("\ud83db", (0, 1), 1, UTF16),  # half a character, as an editor that cuts one sends it
    ],
)
def test_a_position_is_an_offset(
    text: str, position: tuple[int, int], offset: int, encoding: PositionEncodingKind
) -> None:
    assert document(text, encoding).offset_at_position(Position(*position)) == offset


@given(TEXT, st.data())
def test_changes_give_the_text_that_the_editor_has(text: str, data: Any) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    new = data.draw(TEXT)

    def position_of(offset: int) -> Position:
        lines = text[:offset].replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return Position(len(lines) - 1, len(lines[-1].encode("utf-16-le")) // 2)

    edited = document(text)
    if not any(text[offset - 1 : offset + 1] == "\r\n" for offset in (start, end)):  # no position lies between the two
        assert (edited.position_at(start), edited.position_at(end)) == (position_of(start), position_of(end))
        edited.apply_change(TextDocumentContentChangePartial(Range(position_of(start), position_of(end)), new))
        assert edited.source == text[:start] + new + text[end:]
