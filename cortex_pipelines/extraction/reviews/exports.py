"""Reviews in what GitHub and GitLab export as JSON.

A remark is found wherever it stands: in a list of comments as GitHub's interface for review
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

_MOST_DEPTH = 40
_MOST_DAMAGED = 100
_VALUE = re.compile(r"[^\s\ufeff]")
_OF_THREAD = ("path", "line", "originalLine", "startLine", "originalStartLine", "diffSide")


def is_export(text: str) -> bool:
    """Whether JSON may hold reviews, by the names of their fields."""
    if '"diff_hunk"' in text or '"diffHunk"' in text:
        return True
    return '"new_path"' in text and '"position"' in text and '"body"' in text


def exported_reviews(text: str) -> list[Review]:
    """The reviews of an export: JSON values, one after the other as pages are, or one a line.

    What is cut off or damaged is one review without code, so that it can be accounted for.
    """
    decoder, reviews, at = json.JSONDecoder(), list[Review](), _next_value(text, 0)
    damaged = 0
    while at < len(text) and damaged < _MOST_DAMAGED:
        try:
            value, end = decoder.raw_decode(text, at)
            reviews += _of(value, {}, "", 0)
        except (ValueError, RecursionError):
            damaged += 1
            reviews.append(_damaged())
            line = text.find("\n", at)
            end = line if line >= 0 else len(text)
        at = _next_value(text, end)
    return reviews


def _next_value(text: str, at: int) -> int:
    match = _VALUE.search(text, at)
    return match.start() if match else len(text)


def _damaged() -> Review:
    return Review("", "", "", "", DAMAGED)


def _of(value: Any, patches: Mapping[str, str], head: str, depth: int) -> Iterator[Review]:
    """Reviews in a value, with the patches and head commit of the request that it belongs to."""
    if depth > _MOST_DEPTH:
        yield _damaged()
    elif isinstance(value, list):
        for item in value:
            yield from _of(item, patches, head, depth + 1)
    elif isinstance(value, dict):
        patches = {**patches, **_patches(value)}
        head = _text(_dict(value, "diff_refs"), "head_sha") or head
        if _text(value, "diff_hunk", "diffHunk") and _text(value, "path") and "body" in value:
            yield from _github(value, patches)
        elif _text(_dict(value, "position"), "new_path") and _text(value, "body"):
            if not value.get("system"):
                yield from _gitlab(value, patches, head)
        else:
            for key in sorted(value):
                inner = _in_thread(value) if key == "comments" else value[key]
                yield from _of(inner, patches, head, depth + 1)


def _in_thread(thread: Mapping[str, Any]) -> Any:
    """The comments of a thread; in GraphQL the place is often asked of the thread alone."""
    own = {name: thread[name] for name in _OF_THREAD if thread.get(name) is not None}
    nodes = _items(_dict(thread, "comments"), "nodes")
    if not nodes or ("diffSide" not in own and "originalLine" not in own):
        return thread["comments"]
    return [
        {"replyTo": number > 0, **own, **{name: it for name, it in node.items() if it is not None}}
        for number, node in enumerate(nodes)
    ]


def _patches(request: Mapping[str, Any]) -> dict[str, str]:
    """Patch of each file that a pull or merge request changed, as far as it is given."""
    files = [item for key in ("files", "changes", "diffs") for item in _items(request, key)]
    return {
        path: patch
        for item in files
        if (path := _text(item, "filename", "new_path")) and (patch := _text(item, "patch", "diff"))
    }


def _github(comment: Mapping[str, Any], patches: Mapping[str, str]) -> Iterator[Review]:
    path, said = _text(comment, "path"), _text(comment, "body")
    suggestions = suggestions_of(said)
    answer = comment.get("in_reply_to_id") or comment.get("replyTo")
    if answer and not suggestions:
        return
    diff = _text(comment, "diff_hunk", "diffHunk")
    hunk = list(new_side(diff).values())
    last = _number(comment, "original_line", "originalLine", "line")
    first = _number(comment, "original_start_line", "originalStartLine", "start_line", "startLine")
    count = last - first + 1 if last and first and first <= last else 1
    # a remark stands below the last line of its piece of the difference
    old_side = "LEFT" in (comment.get("side"), comment.get("diffSide")) or (
        diff.rstrip("\r\n").rpartition("\n")[2].startswith("-")
    )
    of_file = "file" in (_text(comment, "subject_type"), _text(comment, "subjectType").lower())
    begin = len(hunk) - count
    if old_side or of_file or begin < 0:
        yield review_of(path, (), said, None)
    elif suggestions:
        for suggestion in suggestions:
            yield review_of(path, hunk[begin:], said, suggestion.text.splitlines())
    else:
        later = list(new_side(patches.get(path, "")).values())
        changed = changed_later(hunk, begin, len(hunk), later)
        yield review_of(path, *_passage(changed, hunk[begin:], said))


def _passage(
    changed: tuple[list[str], list[str]] | None, before: list[str], said: str
) -> tuple[list[str], str, list[str] | None]:
    return (before, said, None) if changed is None else (changed[0], said, changed[1])


def _gitlab(note: Mapping[str, Any], patches: Mapping[str, str], head: str) -> Iterator[Review]:
    path, said = _text(_dict(note, "position"), "new_path"), _text(note, "body")
    given = [item for item in _items(note, "suggestions") if _text(item, "from_content")]
    if given:
        for item in given:
            before = _text(item, "from_content").splitlines()
            yield review_of(path, before, said, _text(item, "to_content").splitlines())
        return
    position = _dict(note, "position")
    # the diff is the request's last; an older remark has other line numbers
    known = not head or _text(position, "head_sha") in ("", head)
    own = _text(_dict(note, "note_diff_file"), "diff")
    lines = new_side(own or (patches.get(path, "") if known else ""))
    line = _number(position, "new_line")
    suggestions = suggestions_of(said)
    for suggestion in suggestions:
        wanted = range(line - suggestion.above, line + suggestion.below + 1)
        there = all(number in lines for number in wanted)
        before = [lines[number] for number in wanted] if there else []
        yield review_of(path, before, said, suggestion.text.splitlines())
    if not suggestions:
        yield review_of(path, [lines[line]] if line in lines else (), said, None)


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
