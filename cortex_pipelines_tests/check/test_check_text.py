"""Findings in one text."""

import textwrap

import pytest

from cortex_pipelines.annotation.fixes.fixers import FIXERS
from cortex_pipelines.check.check import NotCheckedError, check_text
from cortex_pipelines.check.rules import RULES, UnknownRuleError, selected_rules

SMELLY = textwrap.dedent(
    '''\
    def total(values=[]):
        """ß"""
        try:
            for i in range(len(values)):
                print(values[i])
        except:
            pass
        if values == None:
            return 0
    '''
)


def locations(text: str, path: str = "a.py", rules: frozenset[str] = frozenset(RULES)) -> list[tuple[int, int, str]]:
    return [(finding.line, finding.column, finding.rule) for finding in check_text(path, text, rules=rules)]


def test_smells_are_found_where_they_are_and_ruff_keeps_its_own() -> None:
    expected = [(1, 11, "mutable-default"), (4, 9, "range-len-loop"), (6, 5, "swallowed-exception")]
    assert locations(SMELLY, rules=selected_rules()) == expected
    assert locations("\ufeff" + SMELLY.replace("\n", "\r\n"), rules=selected_rules()) == expected
    assert (8, 8, "none-by-equality") in locations(SMELLY, rules=selected_rules(["none-by-equality"]))
    with pytest.raises(UnknownRuleError, match="did you mean range-len-loop"):
        selected_rules(["range-len-lop"])


@pytest.mark.parametrize(
    ("path", "comment", "other"),
    [
        ("a.py", "# cortex: ignore", "# cortex: ignore[dead-code]"),
        ("a.js", "// cortex: ignore[loose-equality]", '"cortex: ignore"'),
        ("A.java", "/* cortex: ignore[string-identity, dead-code] */", "// cortex: ignore-this"),
    ],
)
def test_a_comment_silences_the_rules_it_names(path: str, comment: str, other: str) -> None:
    line = {"a.py": "x == None", "a.js": "typeof x == 'a';", "A.java": 'class A { boolean f = x == "a"; }'}[path]
    rules = {"a.py": "none-by-equality", "a.js": "loose-equality", "A.java": "string-identity"}
    only = frozenset({rules[path]})
    assert len(locations(f"{line} {other}\n", path, only)) == 1
    assert locations(f"{line} {comment}\n", path, only) == locations(f"{comment}\n{line}\n", path, only) == []


def test_what_is_half_written_or_no_code_is_passed_over() -> None:
    half = "def f(x=[]):\n    return 1 +\n\n\ndef g(x=[]):\n    pass\n"
    assert [(f.line, f.rule, f.fix) for f in check_text("a.py", half)] == [(5, "mutable-default", None)]
    for path, text, reason in (("a.md", "# x", "language markdown"), ("a.py", "x = 1\n" * 400_000, "bytes, at most")):
        with pytest.raises(NotCheckedError, match=reason):
            check_text(path, text)


def test_the_tests_in_a_file_of_rust_may_do_what_tests_do() -> None:
    own = "mod tests {\n    fn f() { g().unwrap(); }\n}\n#[test]\nfn test_g() { g().unwrap(); }\n"
    assert locations(f"fn f() {{ g().unwrap(); }}\n{own}", "a.rs", frozenset({"unwrap"})) == [(1, 10, "unwrap")]


CONCATENATED = "def g(lines):\n    text = {}\n    for line in lines:\n        text += line\n{}    return text\n"


@pytest.mark.parametrize(
    ("start", "more", "fixed"),
    [("''", "", True), ("''", "        print(line)\n", True), ('"a{"', "", True), ("b''", "", False)],
)
def test_a_concatenation_is_fixed_also_where_it_ends_its_loop(start: str, more: str, fixed: bool) -> None:
    findings = check_text("a.py", CONCATENATED.format(start, more), rules={"string-concat-in-loop"})
    assert [finding.fix is not None for finding in findings] == [True] * fixed


@pytest.mark.parametrize(("pattern", "count"), [("SEPARATORS_OF_WORDS_THAT_ARE_KEPT_IN_LOGS", 1), ("f'{line}+'", 0)])
def test_long_names_of_constants_take_no_time(pattern: str, count: int) -> None:
    code = f"import re\n\n\ndef f(lines):\n    for line in lines:\n        print(re.compile({pattern} , re.I, flags))\n"
    assert not check_text("a.py", code, rules={"regex-compile-in-loop"})
    assert len(check_text("a.py", code.replace(", flags", ""), rules={"regex-compile-in-loop"})) == count


@pytest.mark.parametrize(("room", "fixed"), [(1_000_000, 60), (0, 0)])
def test_a_fix_that_does_not_hold_hides_no_other_finding(
    room: int, fixed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cortex_pipelines.check.smells._MIN_REPARSED", room)
    monkeypatch.setattr("cortex_pipelines.check.smells._TIMES_REPARSED", bool(room))
    loop = "def f(xs):\n    for i in range(len(xs)):\n        print(xs[i])\n\n\n"
    broken = (lambda smell: [(smell.evidence.start, smell.evidence.start, b"(")], "")
    monkeypatch.setitem(FIXERS, "string-concat-in-loop", broken)
    joined = CONCATENATED.format("''", "")
    findings = [each for each in check_text("a.py", loop * 60 + joined) if each.rule == "range-len-loop"]
    assert (len(findings), sum(each.fix is not None for each in findings)) == (60, fixed)
