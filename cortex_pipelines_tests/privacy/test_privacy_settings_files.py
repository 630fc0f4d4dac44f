"""Secrets in settings files: each way to write one, by format; redaction keeps what parsers see."""

import configparser
import io
import json
import random
import string
import subprocess
import tomllib
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import dotenv
import pytest
import yaml
from hypothesis import example, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from cortex_pipelines.privacy.detect.scanning import spans_of
from cortex_pipelines.privacy.detect.settings.values import FORMATS, values_in
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText
from cortex_pipelines.privacy.pseudonyms import project_key
from cortex_pipelines.privacy.redaction import redact_text
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines_tests.parameters import PROPERTY_STEPS, load_cases

CASES = load_cases(__file__)
_RANDOM = random.Random(20)


def generated(length: int = 24) -> str:
    return "".join([_RANDOM.choice(string.ascii_letters + string.digits) for _ in range(length - 4)]) + "k7Rq"


HOLE = "§"
"""Where a secret stands."""
WAYS = [(format, template) for format, templates in CASES["WRITTEN"].items() for template in templates]


def planted(template: str) -> tuple[str, list[str]]:
    """The text with generated secrets, and these."""
    first, *literals = template.split(HOLE)
    values = [generated() for _ in literals]
    return first + "".join(map("".join, zip(values, literals, strict=True))), values


def file_name(format: str) -> str:
    return {"dockerfile": "Dockerfile", "env": ".env"}.get(format, f"a.{format}")


@pytest.mark.parametrize(("format", "template"), WAYS)
def test_each_way_to_write_a_secret_is_seen_to_the_character(format: str, template: str, settings) -> None:
    text, values = planted(template)
    spans = spans_of(text, file_name(format), settings)
    assert [text[span.start : span.end] for span in spans if span.category == "secret"] == values


def yaml_value(node: yaml.Node | None) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {key.value: yaml_value(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [yaml_value(value) for value in node.value]
    return [node.tag] if node else None


def shape(value: Any) -> Any:
    """A value with all texts replaced by their lines' number."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return value.count("\n") if isinstance(value, str) else value


def xml_shape(element: ElementTree.Element) -> Any:
    return element.tag, sorted(element.attrib), [xml_shape(child) for child in element]


def _ini_shape(text: str) -> Any:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    parser.read_string(text)
    return {name: list(section) for name, section in parser.items()}


def _shell_shape(text: str) -> Any:
    completed = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    return completed.returncode, completed.stderr


SHAPES: dict[str, Callable[[str], Any]] = {
    "yaml": lambda text: [shape(yaml_value(node)) for node in yaml.compose_all(text, Loader=yaml.BaseLoader)],
    "json": lambda text: [shape(json.loads(line)) for line in text.splitlines()],
    "toml": lambda text: shape(tomllib.loads(text)),
    "ini": _ini_shape,
    "env": lambda text: list(dotenv.dotenv_values(stream=io.StringIO(text), interpolate=False)),
    "xml": lambda text: xml_shape(ElementTree.fromstring(text)),
    "sh": _shell_shape,
}
PARSED = [
    (format, template)
    for format, template in WAYS
    if format in SHAPES and "{{" not in template and "<%" not in template
]


@pytest.mark.parametrize(("format", "template"), PARSED)
def test_redaction_keeps_what_an_independent_parser_sees(format: str, template: str, settings: PrivacySettings) -> None:
    text, values = planted(template)
    key = project_key("demo", settings)
    redacted = redact_text(text, file_name(format), None, settings, key).text
    assert not any(value in redacted for value in values)
    assert SHAPES[format](redacted) == SHAPES[format](text)
    assert redact_text(redacted, file_name(format), None, settings, key).text == redacted


_CONTENTS = st.text(
    string.ascii_letters + string.digits + "!#$%&'()*+,-./:;<=>?@[]^_`{|}~\"\\ \n\té世", min_size=1, max_size=40
)
_TREES = st.recursive(
    _CONTENTS,
    lambda inner: (
        st.dictionaries(
            st.sampled_from(["password", "api_key", "token", "host", "name", "value", "env"]),
            inner,
            min_size=1,
            max_size=4,
        )
        | st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
).filter(lambda tree: isinstance(tree, dict))


@given(tree=_TREES)
@example(tree={"password": ["H1h:v?Ab>t\t%JQéLf"], "api_key": "0"})  # its placeholder has no small letter
@example(tree={"password": "0000123A\\", "api_key": "0"})  # its last backslash escapes no quote
@example(tree={"note": "password='0000123A\\", "api_key": "0"})
@example_settings(max_examples=PROPERTY_STEPS, deadline=None)
@pytest.mark.parametrize("format", ["json", "yaml"])
def test_any_json_and_yaml_parses_alike_after_redaction(format: str, tree: dict[str, Any], settings) -> None:
    text = json.dumps(tree) if format == "json" else yaml.safe_dump(tree, allow_unicode=True)
    redacted = redact_text(text, f"a.{format}", None, settings, b"k" * 16).text
    assert keys_of((json.loads if format == "json" else yaml.safe_load)(redacted)) == keys_of(tree)


def keys_of(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: keys_of(inner) for key, inner in value.items()}
    return [keys_of(inner) for inner in value] if isinstance(value, list) else None


MALFORMED = CASES["MALFORMED"]


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_falls_back_to_line_patterns(name: str, settings: PrivacySettings) -> None:
    text, values = planted(MALFORMED[name])
    assert [text[s.start : s.end] for s in spans_of(text, name, settings)] == values


@pytest.mark.parametrize("format", sorted(FORMATS))
@pytest.mark.parametrize(
    "part", ["[", "{", '"', "<a>", "<a b=", "a: {", "${a:", "{{", "x: \\\n", "<<E\n", "'''", "&a *a "]
)
def test_text_made_to_nest_without_end_never_raises(format: str, part: str) -> None:
    assert len(list(values_in(MappedText.from_source(part * 3000), FORMATS[format]))) <= 3000


HARMLESS = CASES["HARMLESS"]


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in HARMLESS.items() for text in texts])
def test_references_and_descriptions_are_no_secrets(name: str, text: str, settings: PrivacySettings) -> None:
    assert spans_of(text, name, settings) == []
