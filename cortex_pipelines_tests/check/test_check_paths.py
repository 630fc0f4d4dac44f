"""``cortex check`` on files, folders and working trees."""

import json
import subprocess
from pathlib import Path

import pytest

from cortex_pipelines.check.findings import LineEdit, with_edits
from cortex_pipelines_tests.command import cortex

SMELL = "def {name}(x=[]):\n    return len(x)\n"


@pytest.fixture(autouse=True)
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def git(*words: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.invalid", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *words], check=True, capture_output=True)


def rules_at(*words: str, status: int = 1) -> list[tuple[str, int, str]]:
    report = json.loads(cortex("check", "--format", "json", *words, status=status).stdout)
    return [(finding["path"], finding["line"], finding["rule"]) for finding in report["findings"]]


def test_a_fix_keeps_mark_line_ends_and_encoding(tmp_path: Path) -> None:
    plain = SMELL.format(name="f").replace("\n", "\r\n").encode()
    files = {
        "mark.py": b"\xef\xbb\xbf" + plain,
        "latin.py": b"# coding: latin-1\r\n# \xe9\r\n" + plain,
        "kept.py": plain,
    }
    for name, data in files.items():
        Path(name).write_bytes(data)
    Path("kept.py").chmod(0o755)
    Path("link.py").symlink_to("mark.py")
    output = cortex("check", "--fix", "link.py", "latin.py", "kept.py").stdout
    assert output.count(": fixed mutable-default: ") == 3
    fixed = b"def f(x=None):\r\n    if x is None:\r\n        x = []\r\n    return len(x)\r\n"
    for name, data in files.items():
        assert Path(name).read_bytes() == data.removesuffix(plain) + fixed
    assert Path("link.py").is_symlink()
    assert Path("kept.py").stat().st_mode & 0o777 == 0o755


def test_what_changes_behaviour_is_mended_only_when_asked_for() -> None:
    code = "def f(x=[]):\n    x.append(1)\n    return x\n"
    Path("a.py").write_text(code)
    cortex("check", "--fix", "a.py", status=1)
    assert Path("a.py").read_text() == code
    cortex("check", "--fix", "--unsafe-fixes", "a.py")
    assert "x=None" in Path("a.py").read_text()


def test_edits_of_a_text_go_where_they_were_meant() -> None:
    assert with_edits("aß\r\nc\r\n", [LineEdit(1, 3, 2, 1, "\n\n"), LineEdit(1, 1, 1, 2, "")]) == "ß\r\n\r\nc\r\n"


def test_only_lines_that_are_new_since_a_commit_count() -> None:
    old, name = SMELL.format(name="old"), 'b ü"\t.py'
    git("init", "-q", "-b", "main")
    Path("a.py").write_text(old)
    Path("moved.py").write_text(old * 5)
    git("add", ".")
    git("commit", "-qm", "1")
    Path("a.py").write_text(SMELL.format(name="new") + old)
    git("mv", "moved.py", name)
    Path(name).write_text(old * 5 + "\n" + SMELL.format(name="new"))
    Path("untracked.py").write_text(old)
    Path(".gitignore").write_text("ignored.py\n")
    Path("ignored.py").write_text(old)
    assert rules_at("--diff", "HEAD") == [
        ("a.py", 1, "mutable-default"),
        (name, 12, "mutable-default"),
        ("untracked.py", 1, "mutable-default"),
    ]
    assert rules_at("--diff", "HEAD", "a.py") == [("a.py", 1, "mutable-default")]
    git("add", ".")
    git("commit", "-qm", "2")
    assert rules_at("--diff", "HEAD", status=0) == []
    cortex("check", "--diff", "HEAD~1", "--fix", "a.py")
    assert Path("a.py").read_text().endswith(old)
    assert "no commit 'nowhere'" in cortex("check", "--diff", "nowhere", status=2).stderr


def test_what_a_repository_marks_as_vendored_is_checked_by_its_own_name_alone() -> None:
    git("init", "-q", "-b", "main")
    Path(".gitattributes").write_text("libs/** linguist-vendored\n")
    Path("libs").mkdir()
    git("add", ".")
    git("commit", "-qm", "1")
    Path("libs/copy.py").write_text(SMELL.format(name="f"))
    for words in ((".",), ("libs",), ("--diff", "HEAD")):
        assert rules_at(*words, status=0) == []
        assert "libs/copy.py: not checked: is generated or vendored" in cortex("check", *words).stderr
    assert rules_at("libs/copy.py") == [("libs/copy.py", 1, "mutable-default")]


def test_lines_that_look_like_headers_of_a_diff_do_not_move_it() -> None:
    git("init", "-q", "-b", "main")
    Path("a.py").write_text('"""\n-- a/x\n"""\n')
    git("add", ".")
    git("commit", "-qm", "1")
    Path("a.py").write_text('"""\n++ b/other.py\n@@ -1 +1 @@\n"""\n' + SMELL.format(name="f"))
    assert rules_at("--diff", "HEAD") == [("a.py", 5, "mutable-default")]


def test_accepted_findings_come_back_only_when_there_are_more() -> None:
    Path("a.py").write_text(SMELL.format(name="f"))
    cortex("check", "--baseline", "known.json", "--write-baseline")
    Path("a.py").write_text("import os\n\n\n" + SMELL.format(name="f"))
    assert rules_at("--baseline", "known.json", status=0) == []
    Path("a.py").write_text(SMELL.format(name="f") * 2)
    assert rules_at("--baseline", "known.json") == [("a.py", 3, "mutable-default")]
    Path("known.json").write_text("{}")
    assert "is not a baseline" in cortex("check", "--baseline", "known.json", status=2).stderr


def test_sarif_places_fixes_and_fingerprints_each_finding() -> None:
    empty = json.loads(cortex("check", "--format", "sarif").stdout)["runs"][0]
    assert (empty["results"], empty["tool"]["driver"]["rules"]) == ([], [])
    Path("a b.py").write_text(SMELL.format(name="f") * 2)
    run = json.loads(cortex("check", "--format", "sarif", status=1).stdout)["runs"][0]
    first, second = run["results"]
    location = first["locations"][0]["physicalLocation"]
    assert location["artifactLocation"] == {"uri": "a%20b.py", "uriBaseId": "%SRCROOT%"}
    assert location["region"] == {"startLine": 1, "startColumn": 7, "endLine": 1, "endColumn": 11}
    assert run["tool"]["driver"]["rules"][first["ruleIndex"]]["id"] == "mutable-default"
    assert first["partialFingerprints"] != second["partialFingerprints"]
    assert first["fixes"][0]["artifactChanges"][0]["replacements"][0]["insertedContent"] == {"text": "None"}


def test_an_annotation_cannot_be_broken_out_of() -> None:
    name = "a,b:c%\n.py"
    Path(name).write_text(SMELL.format(name="f"))
    line = cortex("check", name, "--format", "github", status=1).stdout
    assert line.startswith("::warning file=a%2Cb%3Ac%25%0A.py,line=1,endLine=1,col=7,endColumn=11,title=cortex ")
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"x = 1\n" * 400_000, "2,400,000 bytes"),
        (b"x\0", "is binary"),
        (b"x = '\xff'\n", "save it as UTF-8"),
        (b"# coding: nonsense\n", "unknown encoding"),
        (b"# Code generated by x. DO NOT EDIT.\n", "is generated"),
        (b"x = 1\n\ndef f(:\n", "at line 3, which does not parse"),
    ],
)
def test_what_cannot_be_checked_is_named(data: bytes, reason: str) -> None:
    Path("a.py").write_bytes(data)
    result = cortex("check", "a.py")
    assert "a.py: not checked: " in result.stderr
    assert reason in result.stderr
    assert json.loads(cortex("check", "--format", "sarif").stdout)["runs"][0]["invocations"][0][
        "toolExecutionNotifications"
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("missing.py",), "missing.py: no such file"),
        (("--diff", "HEAD"), "--diff needs a git repository"),
        (("--format", "xml"), "'xml' is not one of"),
        (("--select", "nameing"), "did you mean naming?"),
        (("--project", "shop"), "no params.yaml"),
        (("--unsafe-fixes",), "requires --fix"),
        (("--write-baseline",), "requires --baseline FILE"),
    ],
)
def test_a_wrong_call_is_neither_clean_nor_a_finding(words: tuple[str, ...], says: str) -> None:
    assert says in cortex("check", *words, status=2).stderr
