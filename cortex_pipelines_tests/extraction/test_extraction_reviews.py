import json
import quopri
from typing import Any

import pytest

from cortex_pipelines.extraction.reviews.exports import is_export, read_export
from cortex_pipelines.extraction.reviews.mail import is_mailbox, read_mailbox
from cortex_pipelines.extraction.reviews.review import Review, changed_later, remark_of, suggestions_of
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

_HUNK = (
    "@@ -1,3 +1,5 @@ def top\n def total(items):\n-    return 0\n+    n = 0\n+    for i in items:\n+        n = n + i"
)
_FIX = "Say it with the library, @ann.\n```suggestion\n    return sum(items)\n```\n"


def github(**fields: Any) -> dict[str, Any]:
    comment = {
        "id": 1, "path": "shop/sum.py", "diff_hunk": _HUNK, "body": _FIX, "side": "RIGHT",
        "original_start_line": 2, "original_line": 4, "user": {"login": "bo"}, "commit_id": "c1",
    }  # fmt: skip
    return {**comment, **fields}


def test_a_suggestion_of_github_replaces_the_lines_that_it_stands_at() -> None:
    (review,) = read_export(json.dumps([github()]))
    assert review == Review(
        "shop/sum.py",
        "    n = 0\n    for i in items:\n        n = n + i",
        "Say it with the library, someone.",
        "    return sum(items)",
    )


def test_names_as_in_graphql_are_read_too() -> None:
    comment = {
        "path": "shop/sum.py", "diffHunk": _HUNK, "body": _FIX,
        "originalStartLine": 2, "originalLine": 4,
    }  # fmt: skip
    nodes = {"data": {"reviewThreads": {"nodes": [{"comments": {"nodes": [comment]}}]}}}
    assert read_export(json.dumps(nodes)) == read_export(json.dumps([github()]))


def test_a_thread_of_graphql_says_where_its_comments_stand() -> None:
    comments = [{"body": _FIX, "diffHunk": _HUNK, "startLine": None}, {"body": "Done."}]
    position = {"path": "shop/sum.py", "originalStartLine": 2, "originalLine": 4}
    for comment in comments:
        comment["diffHunk"] = _HUNK
    thread = {**position, "isOutdated": True, "diffSide": "RIGHT", "comments": {"nodes": comments}}
    assert read_export(json.dumps(thread)) == read_export(json.dumps([github()]))
    edges = {**thread, "comments": {"edges": [{"node": {**comments[0], **position}}]}}
    assert read_export(json.dumps(edges)) == read_export(json.dumps([github()]))


def test_a_remark_on_a_removed_line_or_on_a_whole_file_has_no_code() -> None:
    cut = "\n".join(_HUNK.split("\n")[:3])
    removed = github(diff_hunk=cut, side=None, body="Why not 0?", original_start_line=None)
    reviews = read_export(json.dumps([removed, github(subject_type="file", body="Where are its tests?")]))
    assert [review.why_not for review in reviews] == ["review_without_code"] * 2


@pytest.mark.parametrize(("fence", "text_after"), [("````", "In other words."), ("```", ""), ("  `````\r", "So.\r")])
def test_a_suggestion_ends_with_as_many_backticks_or_more(fence: str, text_after: str) -> None:
    body = f"So:\n```suggestion\n    return sum(items)\n{fence}\n{text_after}"
    (review,) = read_export(json.dumps([github(body=body)]))
    assert (review.after, review.remark) == ("    return sum(items)", f"So: {text_after}".strip())


def test_suggestions_without_an_end_are_none_and_take_no_time() -> None:
    remark = "```suggestion\nreturn 1\n" * 40_000  # an hour, where each looks for its end
    assert suggestions_of(remark) == []
    assert remark_of("Do\n```suggestion\nreturn 1") == "Do ```suggestion return 1"


def test_a_mark_of_the_byte_order_and_half_a_character_do_not_matter() -> None:
    text = json.dumps([github(body=f"\ud83d{_FIX}", path="shop/\udc00.py")])
    (review,) = read_export(f"\ufeff{text}")
    assert (review.path, review.remark[:6], review.why_not) == ("shop/?.py", "?Say i", "")


def test_without_a_suggestion_the_files_of_the_request_say_what_was_written() -> None:
    patch = (
        "@@ -1,3 +1,5 @@\n def total(items):\n-    return 0\n+    n = 0\n"
        "+    for i in items:\n+        n += i\n+    return n\n"
    )
    comment = github(body="Shorter, please.", original_start_line=None)
    request = {"number": 7, "comments": [comment], "files": [{"filename": "shop/sum.py", "patch": patch}]}
    (review,) = read_export(json.dumps(request))
    assert (review.before, review.remark) == ("        n = n + i", "Shorter, please.")
    assert review.after.startswith("        n += i")
    (alone,) = read_export(json.dumps({**request, "files": []}))
    assert (alone.after, alone.why_not) == ("", "review_without_result")


@pytest.mark.parametrize(("fields", "why_not"), CASES["what_a_remark_lacks_is_told"])
def test_what_a_remark_lacks_is_told(fields: dict[str, Any], why_not: str) -> None:
    assert [review.why_not for review in read_export(json.dumps([github(**fields)]))] == [why_not]


def test_answers_are_talk_unless_they_suggest() -> None:
    assert read_export(json.dumps([github(in_reply_to_id=4, body="Done.")])) == []
    assert len(read_export(json.dumps([github(in_reply_to_id=4)]))) == 1


def gitlab(**fields: Any) -> dict[str, Any]:
    position = {"new_path": "a.js", "old_path": "a.js", "new_line": 3, "head_sha": "h2"}
    note = {"type": "DiffNote", "system": False, "position": position, "suggestions": []}
    return {**note, "body": "No var.\n\n```suggestion:-1+0\nlet a = 1;\nlet b = 2;\n```", **fields}


def test_suggestions_of_gitlab_bring_their_code() -> None:
    suggestion = {"from_content": "var a = 1;\nvar b = 2;\n", "to_content": "let a = 1;\nlet b = 2;\n"}
    discussions = [{"id": "d", "notes": [gitlab(suggestions=[suggestion]), gitlab(system=True)]}]
    (review,) = read_export(json.dumps(discussions))
    assert review == Review("a.js", "var a = 1;\nvar b = 2;", "No var.", "let a = 1;\nlet b = 2;")


def test_without_their_code_the_diff_has_it_if_it_is_of_that_version() -> None:
    diff = "@@ -1,2 +1,3 @@\n // top\n+var a = 1;\n+var b = 2;\n"
    request: dict[str, Any] = {
        "diff_refs": {"head_sha": "h2"}, "notes": [gitlab()],
        "changes": [{"new_path": "a.js", "diff": diff}],
    }  # fmt: skip
    (review,) = read_export(json.dumps(request))
    assert (review.before, review.why_not) == ("var a = 1;\nvar b = 2;", "")
    later = {**request, "diff_refs": {"head_sha": "h3"}}
    assert [review.why_not for review in read_export(json.dumps(later))] == ["review_without_code"]


def test_lines_of_json_are_read_and_a_cut_off_one_is_counted() -> None:
    text = json.dumps(github()) + "\n" + json.dumps(github())[:50]
    assert [review.why_not for review in read_export(text)] == ["", "review_damaged"]
    assert {review.why_not for review in read_export('{"a":' * 3000 + "1" + "}" * 3000)} == {"review_damaged"}


def test_pages_one_after_the_other_are_read() -> None:
    assert len(read_export(json.dumps([github()]) * 3)) == 3


def test_other_json_is_no_export() -> None:
    assert is_export(json.dumps([github()]))
    assert is_export(json.dumps([gitlab()]))
    assert not is_export('{"body": "x", "path": "y"}')


_PATCH = CASES["_PATCH"]
_ANSWER = CASES["_ANSWER"]


def test_an_answer_to_a_patch_meets_the_patch_that_came_of_it() -> None:
    second = _PATCH.format(version=" v2").replace("<v1@", "<v2@").replace("i <= n", "i < n")
    text = _PATCH.format(version="") + _ANSWER + second
    assert is_mailbox("list.mbox", text)
    first, other = read_mailbox(text)
    assert first.remark == "This reads one too many."
    assert (first.path, first.why_not) == ("sum.c", "")
    assert "i <= n" in first.before
    assert "i < n" in first.after
    assert (other.remark, other.why_not) == ("Fine.", "review_without_result")


@pytest.mark.parametrize("mark", ["v2", " V2", " net-next v2"])
def test_a_version_is_known_however_it_is_written(mark: str) -> None:
    second = _PATCH.format(version=mark).replace("<v1@", "<v2@").replace("i <= n", "i < n")
    first, _ = read_mailbox(_PATCH.format(version="") + _ANSWER + second)
    assert "i < n" in first.after


def test_a_single_message_without_a_postmark_is_read() -> None:
    text = _ANSWER.partition("\n")[2]
    assert is_mailbox("answer.eml", f"{text}\nPATCH")
    assert (read_mailbox(text), read_mailbox(_PATCH.format(version="").partition("\n")[2])) == ([], [])


def test_a_sentence_that_begins_as_a_postmark_does_is_none() -> None:
    remark = "From what I measured in 2024\nthis reads one too many."
    first, _ = read_mailbox(_PATCH.format(version="") + _ANSWER.replace("This reads one too many.", remark))
    assert first.remark == "From what I measured in 2024 this reads one too many."


@pytest.mark.parametrize(
    ("headers", "encode"),
    [
        ("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n", str),
        ("Content-Type: text/plain; charset=no-such-set\n", str),
        (
            "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n",
            lambda text: quopri.encodestring(text.encode("latin-1")).decode(),
        ),
    ],
)
def test_letters_of_other_languages_stay_what_they_are(headers: str, encode: Any) -> None:
    head, _, body = _ANSWER.partition("\n\n")
    answer = body.replace("This reads one too many.", "Das liest eins zu viel, größer wäre falsch.")
    text = _PATCH.format(version="") + f"{head}\n{headers}\n{encode(answer)}"
    first, _ = read_mailbox(text)
    assert first.remark == "Das liest eins zu viel, größer wäre falsch."


def test_a_change_that_cannot_be_told_from_its_surroundings_is_none() -> None:
    before, after = ["a", "b", "c"], ["a", "x", "c"]
    assert changed_later(before, 1, 2, after) == (["b"], ["x"])
    assert changed_later(before, 0, 1, after) is None
    assert changed_later(["a"], 0, 1, [str(number) for number in range(50)]) is None
