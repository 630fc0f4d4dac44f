"""Secrets in code of six languages, by its syntax: whatever gives a name a literal is seen."""

import random
import string
from pathlib import PurePosixPath
from unittest.mock import patch

import pytest
from tree_sitter import Node

from cortex_pipelines.privacy.detect.scanning import spans_of
from cortex_pipelines.privacy.detect.values import is_strong_secret
from cortex_pipelines.privacy.redaction import redact_text
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.syntax.grammars import grammar_for, parse, parse_counted
from cortex_pipelines_tests.privacy.code_forms import cases

_LANGUAGES = {
    ".py": "python",
    ".js": "javascript",
    ".ts": "typescript",
    ".tsx": "typescript",
    ".java": "java",
    ".go": "go",
    ".rs": "rust",
}
_PARSER = "cortex_pipelines.privacy.detect.code.tree.parse_counted"
_CHOSEN = "harbour42#x"
_DRAWN = "kT9x2QvLw8Zr4Ns6Hb3Yc7Jd"


def _generated(seed: object) -> str:
    """A random value that has no words in it, nor in its halves."""
    letters = random.Random(str(seed))
    while True:
        value = "".join(letters.choices(string.ascii_letters + string.digits, k=24))
        if all(map(is_strong_secret, (value, value[:12], value[12:]))):
            return value


def _secrets(path: str, text: str, settings: PrivacySettings) -> list[str]:
    spans = spans_of(text, path, settings)
    return [text[span.start : span.end] for span in spans if span.category == "secret"]


def _errors(text: str, path: str) -> int:
    grammar = grammar_for(_LANGUAGES[PurePosixPath(path).suffix], path)
    stack: list[Node] = [parse(text.encode(), grammar).root_node]
    count = 0
    while stack:
        node = stack.pop()
        count += node.is_error or node.is_missing
        stack += node.children
    return count


@pytest.mark.parametrize(("path", "form"), cases())
def test_a_literal_is_found_and_redacted_in_every_form(path: str, form: str, settings: PrivacySettings) -> None:
    value = _generated(form)
    parts = [value[:12], value[12:]] if "%h" in form else [value]
    text = form.replace("%h", value[:12]).replace("%t", value[12:]).replace("%", value)
    assert _secrets(path, text, settings) == parts
    redacted = redact_text(text, path, None, settings, b"k" * 16).text
    assert not any(part in redacted for part in parts)
    assert redacted.count("\n") == text.count("\n")
    assert _errors(redacted, path) <= _errors(text, path)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", 'password = Field(default="%")'),
        ("a.py", 'user, password = "bob", "%"'),
        ("a.py", 'x = {"db": {"password": None or "%"}}'),
        ("a.js", 'const { password = "%" } = options;'),
        ("a.ts", 'let password: string | undefined = "%";'),
        ("A.java", 'class A { @Value("${x:%}") String password; }'),
        ("a.go", 'package a\nvar password = cmp.Or(x, "%")\n'),
        ("a.rs", 'fn f() { let password = env::var("X").unwrap_or_else(|_| "%".into()); }'),
    ],
)
def test_so_is_a_password_that_a_person_chose(path: str, text: str, settings: PrivacySettings) -> None:
    assert _CHOSEN in "".join(_secrets(path, text.replace("%", _CHOSEN), settings))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", f'password = translate("{_CHOSEN}")'),
        ("a.py", f'password = forms["{_CHOSEN}"]'),
        ("a.py", f'password = request.get("{_CHOSEN}")'),
        ("a.py", f'password = "a" if x == "{_CHOSEN}" else None'),
        ("a.py", f'if "{_CHOSEN}" in password: pass'),
        ("a.py", f'password_hint = Optional("{_CHOSEN}")'),
        ("a.py", f'def f(password):\n    """{_CHOSEN}"""\n'),
        ("a.py", f'password, user = None, "{_CHOSEN}"'),
        ("a.py", f'f(password=p, colour="{_CHOSEN}")'),
        ("a.py", 'password = str("set1_master_key_id")'),
        ("a.py", 'token = re.compile(r"[a-z_]+[0-9]{4}(?:x|y)#!")'),
        ("a.py", 'tokens = {"root": [(r"[0-9]+\\.[0-9]+([eE][+-]?[0-9]+)?", Number)]}'),
        ("a.py", f'password = "abc" + variable + "{_CHOSEN}"'),
        ("a.js", f'const colour = process.env.COLOUR || "{_DRAWN}";'),
        ("a.js", f'const {{ password, colour = "{_DRAWN}" }} = options;'),
        ("a.js", f'const password = load(x ? 1 : 2), colour = "{_DRAWN}";'),
        ("A.java", f'class A {{ @JsonProperty("{_CHOSEN}") String password; }}'),
        ("a.go", f'package a\nvar password, colour = x, "{_DRAWN}"\n'),
        ("a.rs", f'fn f() {{ let (password, colour) = (x, "{_DRAWN}"); }}'),
    ],
)
def test_a_literal_that_does_not_reach_the_name_is_not(path: str, text: str, settings: PrivacySettings) -> None:
    assert _secrets(path, text, settings) == []


@pytest.mark.parametrize("before", ["", "# 🔑 ключ\n", "x = 1\r\n", "s = '\U0001f511' * 2\r\n"])
def test_spans_are_exact_behind_any_characters(before: str, settings: PrivacySettings) -> None:
    text = f'{before}api_key = str("{_DRAWN}") or "é"\r\n'
    assert _secrets("a.py", text, settings) == [_DRAWN]


@pytest.mark.parametrize("escaped", [_DRAWN + "\\x41\\u0042", "\\103" + _DRAWN, _DRAWN + "\\n"])
def test_escapes_belong_to_the_span(escaped: str, settings: PrivacySettings) -> None:
    assert _secrets("a.py", f'api_key = str("{escaped}")', settings) == [escaped]


@pytest.mark.parametrize(
    ("path", "filler", "form"),
    [
        ("a.py", "def f(x):\n    return [x, 'a']\n\n\n", '\n\napi_key: Final[str] = "{}"\n'),
        ("a.js", "function f(x){return [x,'a']};", ';const q={{apiKey:await g("{}")}};'),
        ("A.java", "  int f(int x) { return x; }\n", '  Optional<String> token = Optional.of("{}");\n'),
    ],
)
def test_far_from_the_beginning_of_a_large_text(path: str, filler: str, form: str, settings: PrivacySettings) -> None:
    text = filler * 1_000 + form.format(_DRAWN) + filler * 1_000
    assert _secrets(path, text, settings) == [_DRAWN]


def test_text_of_secrets_is_parsed_a_few_times_at_most(settings: PrivacySettings) -> None:
    lines = [f'api_key_{number} = str("{_generated(number)}")\n' for number in range(2_000)]
    text = "".join(lines)
    with patch(_PARSER, wraps=parse_counted) as parser:
        assert len(_secrets("a.py", text, settings)) == len(lines)
    assert sum(len(call.args[0]) for call in parser.call_args_list) <= 3 * len(text)
