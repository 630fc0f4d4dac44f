"""Reviews in JSON exports of GitHub and GitLab.

A remark is found at any depth: in a list of comments as GitHub's interface for review
comments gives it, within pull requests (REST or GraphQL names), in GitLab's discussions and notes,
and in the lines of its project export. Suggestions give the code afterwards; without one, the
files of the pull request do if the export has them (``files`` with ``filename`` and ``patch``).
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from cortex_pipelines.extraction.reviews.review import (
    DAMAGED,
    Review,
    changed_later,
    new_side,
    review_of,
    suggestions_of,
)

_DAMAGED = Review("", "", "", "", DAMAGED)
_MAX_DEPTH = 40
_MAX_DAMAGED = 100
_VALUE = re.compile(r"[^\s\ufeff]")
_THREAD_FIELDS = ("path", "line", "originalLine", "startLine", "originalStartLine", "diffSide")


def is_export(text: str) -> bool:
    if '"diff_hunk"' in text or '"diffHunk"' in text:
        return True
    return '"new_path"' in text and '"position"' in text and '"body"' in text


def read_export(text: str) -> list[Review]:
    """The reviews of an export: JSON values, one after the other as pages are, or one a line.

    A damaged or cut-off value gives one review without code, so that it is counted.
    """
    decoder, reviews = json.JSONDecoder(), list[Review]()
    damaged = position = 0
    while damaged < _MAX_DAMAGED and (start := _VALUE.search(text, position)):
        try:
            value, position = decoder.raw_decode(text, start.start())
            reviews += _reviews_in(value, {}, "", 0)
        except (ValueError, RecursionError):
            damaged += 1
            reviews.append(_DAMAGED)
            line = text.find("\n", start.start())
            position = line if line >= 0 else len(text)
    return reviews


def _reviews_in(value: Any, patches: Mapping[str, str], head: str, depth: int) -> Iterator[Review]:
    if depth > _MAX_DEPTH:
        yield _DAMAGED
    elif isinstance(value, list):
        for item in value:
            yield from _reviews_in(item, patches, head, depth + 1)
    elif isinstance(value, dict):
        files = (item for key in ("files", "changes", "diffs") for item in _items(value, key))
        diffs = ((_text(item, "filename", "new_path"), _text(item, "patch", "diff")) for item in files)
        patches = {**patches, **{path: diff for path, diff in diffs if path and diff}}
        head = _text(_dict(value, "diff_refs"), "head_sha") or head
        if _text(value, "diff_hunk", "diffHunk") and _text(value, "path") and "body" in value:
            yield from _github(value, patches)
        elif _text(_dict(value, "position"), "new_path") and _text(value, "body"):
            if not value.get("system"):
                yield from _gitlab(value, patches, head)
        else:
            for key in sorted(value):
                inner = _thread_comments(value) if key == "comments" else value[key]
                yield from _reviews_in(inner, patches, head, depth + 1)


def _thread_comments(thread: Mapping[str, Any]) -> Any:
    """The comments of a thread; GraphQL queries often request the position only for the thread."""
    thread_fields = {name: thread[name] for name in _THREAD_FIELDS if thread.get(name) is not None}
    nodes = _items(_dict(thread, "comments"), "nodes")
    if not nodes or ("diffSide" not in thread_fields and "originalLine" not in thread_fields):
        return thread["comments"]
    return [
        {"replyTo": number > 0, **thread_fields, **{name: field for name, field in node.items() if field is not None}}
        for number, node in enumerate(nodes)
    ]


def _github(comment: Mapping[str, Any], patches: Mapping[str, str]) -> Iterator[Review]:
    path, body = _text(comment, "path"), _text(comment, "body")
    suggestions = suggestions_of(body)
    is_reply = comment.get("in_reply_to_id") or comment.get("replyTo")
    if is_reply and not suggestions:
        return
    diff = _text(comment, "diff_hunk", "diffHunk")
    hunk = list(new_side(diff).values())
    last = _number(comment, "original_line", "originalLine", "line")
    first = _number(comment, "original_start_line", "originalStartLine", "start_line", "startLine")
    count = last - first + 1 if last and first and first <= last else 1
    # a remark refers to the last lines of its hunk
    old_side = "LEFT" in (comment.get("side"), comment.get("diffSide")) or (
        diff.rstrip("\r\n").rpartition("\n")[2].startswith("-")
    )
    on_file = "file" in (_text(comment, "subject_type"), _text(comment, "subjectType").lower())
    begin = len(hunk) - count
    if old_side or on_file or begin < 0:
        yield review_of(path, (), body, None)
    elif suggestions:
        for suggestion in suggestions:
            yield review_of(path, hunk[begin:], body, suggestion.text.splitlines())
    else:
        later = list(new_side(patches.get(path, "")).values())
        before, after = changed_later(hunk, begin, len(hunk), later) or (hunk[begin:], None)
        yield review_of(path, before, body, after)


def _gitlab(note: Mapping[str, Any], patches: Mapping[str, str], head: str) -> Iterator[Review]:
    path, body = _text(_dict(note, "position"), "new_path"), _text(note, "body")
    with_code = [item for item in _items(note, "suggestions") if _text(item, "from_content")]
    if with_code:
        for item in with_code:
            before = _text(item, "from_content").splitlines()
            yield review_of(path, before, body, _text(item, "to_content").splitlines())
        return
    position = _dict(note, "position")
    # the diff is the request's last; an older remark has other line numbers
    patches_current = not head or _text(position, "head_sha") in ("", head)
    note_diff = _text(_dict(note, "note_diff_file"), "diff")
    lines = new_side(note_diff or (patches.get(path, "") if patches_current else ""))
    line = _number(position, "new_line")
    suggestions = suggestions_of(body)
    for suggestion in suggestions:
        replaced_lines = range(line - suggestion.above, line + suggestion.below + 1)
        available = all(number in lines for number in replaced_lines)
        before = [lines[number] for number in replaced_lines] if available else []
        yield review_of(path, before, body, suggestion.text.splitlines())
    if not suggestions:
        yield review_of(path, [lines[line]] if line in lines else (), body, None)


def _text(value: Mapping[str, Any], *keys: str) -> str:
    return next((value[key] for key in keys if isinstance(value.get(key), str)), "")


def _number(value: Mapping[str, Any], *keys: str) -> int:
    return next((value[key] for key in keys if isinstance(value.get(key), int)), 0)


def _dict(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = value.get(key)
    return inner if isinstance(inner, dict) else {}


def _items(value: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    inner = value.get(key)
    return [item for item in inner if isinstance(item, dict)] if isinstance(inner, list) else []
