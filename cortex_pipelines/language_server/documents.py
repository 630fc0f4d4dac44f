"""Open files, by the protocol's lines and positions."""

import re
from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise
from urllib.parse import unquote

from lsprotocol.types import Position, PositionEncodingKind, TextDocumentContentChangePartial
from pygls.workspace import TextDocument, Workspace

_LINE_END = re.compile(r"\r\n|\r|\n")
_LINE_FEED = re.compile(r"\n")
_CODE_UNITS = {
    PositionEncodingKind.Utf8: ("utf-8", 1),
    PositionEncodingKind.Utf16: ("utf-16-le", 2),
    PositionEncodingKind.Utf32: ("utf-32-le", 4),
}
"""Codec and bytes per code unit; columns of a position count code units."""


class OpenDocument(TextDocument):
    """An open file.

    pygls's own takes form feeds, U+2028 and others for line ends, which the protocol and editors do not, and misplaces
    a column beyond the end of a line.
    """

    _split: Mapping[re.Pattern[str], tuple[str, tuple[int, ...]]] = {}

    @property
    def lines(self) -> tuple[str, ...]:
        """All lines with their ends (\\n, \\r\\n or \\r); the last one, which may be empty, has none."""
        return tuple(self.source[start:end] for start, end in pairwise((*self._line_starts, len(self.source))))

    def offset_at_position(self, client_position: Position) -> int:
        """Index in ``source``; a column or line beyond the end counts as the end."""
        starts = (*self._line_starts, len(self.source))
        if client_position.line >= len(starts) - 1:
            return len(self.source)
        start, end = starts[client_position.line : client_position.line + 2]
        codec, width = self._units
        # half a surrogate pair, which editors can send, has no code, but it is one unit as ? is
        line = self.source[start:end].rstrip("\r\n").encode(codec, "replace")
        return start + len(line[: client_position.character * width].decode(codec, "ignore"))

    def position_at(self, offset: int) -> Position:
        """Position of an index in ``source``."""
        line = bisect_right(self._line_starts, offset) - 1
        codec, width = self._units
        before = self.source[self._line_starts[line] : offset].encode(codec, "replace")
        return Position(line, len(before) // width)

    def position_in_lines(self, line: int, column: int) -> Position:
        """Position of a column in Unicode code points of a line; both count from 1, and line feeds alone end lines."""
        return self.position_at(self._line_feeds[line - 1] + column - 1)

    def with_own_line_ends(self, text: str) -> str:
        """A text whose lines end with line feeds, with the line ends of this file."""
        return text.replace("\n", "\r\n") if "\r\n" in self.source else text

    @property
    def _line_starts(self) -> tuple[int, ...]:
        return self._starts(_LINE_END)

    @property
    def _line_feeds(self) -> tuple[int, ...]:
        return self._starts(_LINE_FEED)

    def _starts(self, line_end: re.Pattern[str]) -> tuple[int, ...]:
        source, (split_source, _) = self.source, self._split.get(line_end, (None, ()))
        if split_source is not source:
            self._split = {**self._split, line_end: (source, (0, *(m.end() for m in line_end.finditer(source))))}
        return self._split[line_end][1]

    @property
    def _units(self) -> tuple[str, int]:
        return _CODE_UNITS[PositionEncodingKind(self.position_codec.encoding)]

    def _apply_incremental_change(self, change: TextDocumentContentChangePartial) -> None:
        start, end = (self.offset_at_position(position) for position in (change.range.start, change.range.end))
        source = self.source
        self._source = source[:start] + change.text + source[end:]


class Documents(Workspace):
    """The open files and the folders of an editor."""

    def _create_text_document(
        self, doc_uri: str, source: str | None = None, version: int | None = None, language_id: str | None = None
    ) -> OpenDocument:
        return OpenDocument(doc_uri, source, version, language_id, position_codec=self.position_codec)

    def open_document(self, uri: str) -> OpenDocument | None:
        """The open file of that address; None if the editor has closed it."""
        return self._text_documents.get(unquote(uri))  # type: ignore[return-value]
