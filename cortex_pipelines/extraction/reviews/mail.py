"""Reviews in mail: patches, answers that quote them, and the patch's next version.

A remark follows the lines that it quotes (``> +code``). The code afterwards comes from the next
version of the patch, with the same title and a higher ``[PATCH v2]``.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from itertools import takewhile

from cortex_pipelines.extraction.reviews.review import Review, changed_later, new_side, review_of

# Its time tells a postmark from a sentence that begins so.
_POSTMARK = re.compile(r"^From \S+[^\n]*\d:\d\d[^\n]*\d{4}\r?\n", re.MULTILINE)
_SUBJECT = re.compile(r"\[([^\]]*\bPATCH(?:v\d+)?\b[^\]]*)\]\s*(.*)", re.DOTALL | re.IGNORECASE)
_VERSION = re.compile(r"(?:\b|PATCH)v(\d{1,3})\b", re.IGNORECASE)
_ENCODED = ("base64", "quoted-printable")
_FILE = re.compile(r"^\+\+\+ (?:b/)?(\S+)", re.MULTILINE)
_QUOTE = re.compile(r"> ?")
_BOILERPLATE = re.compile(
    r"^(?:[A-Z][a-z]+(?:-[a-z]+)+: |--[ ]?$|(?:hi|hello|dear|thanks)\b[^.]{0,40}$)|\bwrote:$", re.IGNORECASE
)


@dataclass(frozen=True)
class _Patch:
    title: str
    version: int
    files: dict[str, list[str]]


def is_mailbox(path: str, text: str) -> bool:
    is_mail = path.lower().endswith((".mbox", ".mbx", ".eml")) or text.startswith("From ")
    return is_mail and "PATCH" in text and "\nSubject:" in f"\n{text}"


def read_mailbox(text: str) -> list[Review]:
    postmarks = list(_POSTMARK.finditer(text))
    starts = [mark.end() for mark in postmarks] or [0]
    ends = [mark.start() for mark in postmarks[1:]] + [len(text)]
    messages = [message_from_string(text[start:end]) for start, end in zip(starts, ends, strict=True)]
    patches: dict[str, _Patch] = {}
    for message in messages:
        patch = _patch_of(message)
        if patch is not None:
            patches[_id(message, "Message-ID")] = patch
    reviews: list[Review] = []
    for message in messages:
        patch = patches.get(_id(message, "In-Reply-To"))
        if patch is not None and _id(message, "Message-ID") not in patches:
            newer = [each for each in patches.values() if each.title == patch.title and each.version > patch.version]
            next_patch = min(newer, key=lambda other: other.version, default=None)
            reviews += _remarks(_body(message), patch, next_patch)
    return reviews


def _id(message: Message, header: str) -> str:
    return "".join(str(message.get(header, "")).split())


def _body(message: Message) -> str:
    part = next((part for part in message.walk() if part.get_content_type() == "text/plain"), None)
    if part is None:
        return ""
    if str(part.get("Content-Transfer-Encoding", "")).strip().lower() not in _ENCODED:
        # unencoded text was already decoded with the file, whatever a header says
        return str(part.get_payload()).replace("\r\n", "\n")
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    try:
        text = data.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:  # no such character set
        text = data.decode("utf-8", "replace")
    return text.replace("\r\n", "\n")


def _patch_of(message: Message) -> _Patch | None:
    subject = " ".join(str(message.get("Subject", "")).split())
    match = _SUBJECT.match(subject)
    body = _body(message)
    if match is None or "\n@@ " not in body:
        return None
    version = _VERSION.search(match[1])
    file_headers = list(_FILE.finditer(body))
    ends = [mark.start() for mark in file_headers[1:]] + [len(body)]
    files = {
        mark[1]: list(new_side(body[mark.end() : end].partition("\ndiff --git ")[0]).values())
        for mark, end in zip(file_headers, ends, strict=True)
    }
    return _Patch(match[2], int(version[1]) if version else 1, files)


def _remarks(body: str, patch: _Patch, next_patch: _Patch | None) -> Iterator[Review]:
    quoted: list[str] = []
    answer_lines: list[str] = []
    for line in [*body.split("\n"), "> "]:
        quote = _QUOTE.match(line)
        if quote is None:
            answer_lines.append(line)
            continue
        if any(line.strip() for line in answer_lines):
            yield from _remark(quoted, answer_lines, patch, next_patch)
            quoted = []
        answer_lines = []
        quoted.append(line[quote.end() :])


def _remark(
    quoted: Sequence[str], answer_lines: Sequence[str], patch: _Patch, next_patch: _Patch | None
) -> Iterator[Review]:
    added: list[str] = []
    for line in reversed([line for line in quoted if line.strip()]):
        if not line.startswith("+") or line.startswith("+++"):
            break
        added.insert(0, line[1:].rstrip())
    text = " ".join(
        line
        for line in takewhile(lambda line: line.rstrip() != "--", answer_lines)
        if not _BOILERPLATE.search(line.strip())
    )
    if not added or not text.strip():
        return
    for path, lines in patch.files.items():
        stripped, size = [line.rstrip() for line in lines], len(added)
        starts = range(len(lines) - size + 1)
        start = next((start for start in starts if stripped[start : start + size] == added), None)
        if start is None:
            continue
        after = next_patch.files.get(path, []) if next_patch else []
        before, code_after = changed_later(lines, start, start + size, after) or (added, None)
        yield review_of(path, before, text, code_after)
        return
