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
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from cortex_pipelines.privacy.detect.scanning import spans_of
from cortex_pipelines.privacy.detect.settings.values import FORMATS, values_in
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText
from cortex_pipelines.privacy.pseudonyms import project_key
from cortex_pipelines.privacy.redaction import redact_text
from cortex_pipelines.privacy.settings import PrivacySettings

_RANDOM = random.Random(20)


def generated(length: int = 24) -> str:
    """A value that looks random, with letters and digits."""
    letters = [_RANDOM.choice(string.ascii_letters + string.digits) for _ in range(length - 4)]
    return "".join(letters) + "k7Rq"


HOLE = "§"
"""Where a secret stands."""

WRITTEN = {
    "yaml": [
        "password: §\n",
        "password: '§'\n",
        'password: "§"\n',
        "password: !secret §\n",
        "password: &main §\nother: *main\n",
        'db:\n  password: !!str &p "§"\n',
        "api_key: |\n  §\nhost: a\n",
        "api_key: >-\n  §\n",
        "db: {user: app, password: §}\n",
        "---\na: 1\n---\ntoken: §\n",
        "passwords:\n  - §\n  - '§'\n",
        "env:\n  - name: DB_PASSWORD\n    value: §\n",
        "env:\n  - value: '§'\n    name: API_TOKEN\n",
        "Parameters:\n  DBPassword:\n    Type: String\n    Default: §\n",
        "environment:\n  - DB_PASSWORD=§\n  - MODE=fast\n",
        "environment:\n  DB_PASSWORD: ${DB_PASSWORD:-§}\n",
        'environment:\n  API_KEY: "${API_KEY-§}"\n',
        "spring:\n  datasource:\n    password: ${DB_PASSWORD:§}\n",
        "secret_key: \"<%= ENV['K'] || '§' %>\"\n",
        "secret_key: <%= ENV.fetch('SECRET_KEY') { '§' } %>\n",
        'password: {{ db_password | default("§") }}\n',
        'password: "{{ env "DB_PASSWORD" | default "§" }}"\n',
        "{{- if .Values.tls }}\napi:\n  token: §\n{{- end }}\n",
        'config: \'{"password": "§", "host": "a"}\'\n',
        'config: "{\\"db\\": {\\"password\\": \\"§\\"}}"\n',
        "data:\n  application.properties: |\n    db.password=§\n    db.host=a\n",
        'data:\n  settings.json: |\n    {"api": {"token": "§"}}\n',
        "data:\n  .env: |\n    API_TOKEN=§\n",
        "? password\n: §\n",
    ],
    "json": [
        '{"password": "§"}\n',
        '{"a": [{"db": {"password": "§"}}]}\n',
        '{"env": [{"name": "DB_PASSWORD", "value": "§"}]}\n',
        '{"ParameterKey": "DbPassword", "ParameterValue": "§"}\n',
        '{"pass\\u0077ord": "§"}\n',
        '{"config": "{\\"password\\": \\"§\\"}"}\n',
        '{"config": "{\\"inner\\": \\"{\\\\\\"password\\\\\\": \\\\\\"§\\\\\\"}\\"}"}\n',
        '{"environment": ["DB_PASSWORD=§"]}\n',
        '{"url": "Server=db;User=app;Password=§"}\n',
        '{"auth": {"access_token": "§"}}\n{"auth": {"access_token": "§"}}\n',
    ],
    "json5": ["// settings\n{password: '§', /* b */ trailing: [1, 2,],}\n", "{'api_key': \"§\"}\n"],
    "toml": [
        'password = "§"\n',
        "[db]\npassword = '§'\n",
        '[[users]]\nname = "a"\npassword = "§"\n',
        'db = {user = "a", password = "§"}\n',
        'db.password = "§"\n',
        '"db"."password" = "§"\n',
        'passwords = [\n  "§",  # one\n  "§",\n]\n',
        'api_key = """§"""\n',
        "api_key = '''\n§'''\n",
        'token = "${TOKEN:-§}"\n',
        'json = \'{"password": "§"}\'\n',
    ],
    "ini": [
        "[db]\npassword = §\n",
        "[db]\npassword: §\n",
        '[db]\npassword = "§"\n',
        "[db]\npassword=§  ; of the app\n",
        "[smtp]\nuser = a\nauth_token = §\n",
        "[db]\npassword = ${DB_PASSWORD:-§}\n",
    ],
    "properties": [
        "db.password=§\n",
        "db.password : §\n",
        "db.password §\n",
        "spring.datasource.password=${DB_PASSWORD:§}\n",
        "db.password=${DB_PASSWORD:${OTHER:§}}\n",
        "db.password = \\\n    §\n",
        "db\\ password=§\n",
        "db.url=jdbc:x://a/b?user=app&password=§\n",
    ],
    "env": [
        "DB_PASSWORD=§\n",
        "export DB_PASSWORD=§\n",
        'DB_PASSWORD="§"\n',
        "DB_PASSWORD='§' # of the app\n",
        "DB_PASSWORD=§ # of the app\n",
        "DB_PASSWORD=${OTHER:-§}\n",
        'CONFIG=\'{"password":"§"}\'\n',
    ],
    "xml": [
        "<a><password>§</password></a>\n",
        "<a><password><![CDATA[§]]></password></a>\n",
        '<a><db password="§"/></a>\n',
        "<a><db password='§' user='x'></db></a>\n",
        '<a><add key="ServicePassword" value="§"/></a>\n',
        '<a><add value="§" key="ServicePassword"/></a>\n',
        '<properties><entry key="db.password">§</entry></properties>\n',
        '<beans><bean><property name="password" value="§"/></bean></beans>\n',
        '<beans><property name="password"><value>§</value></property></beans>\n',
        "<plist><dict><key>Password</key><string>§</string></dict></plist>\n",
        "<settings><servers><server><id>a</id><password>§</password></server></servers></settings>\n",
        "<configuration><property><name>fs.secret.key</name><value>§</value></property></configuration>\n",
        '<resources><string name="api_key">§</string></resources>\n',
        '<a><c v="Server=d;Password=§;User=x"/></a>\n',
        '<a c="{&quot;password&quot;: &quot;§&quot;}"/>\n',
        "<w:password xmlns:w='urn:w'>§</w:password>\n",
        '<b><property name="password" value="${db.password:§}"/></b>\n',
    ],
    "tf": [
        'variable "db_password" {\n  type    = string\n  default = "§"\n}\n',
        'resource "aws_db_instance" "main" {\n  password = "§"\n}\n',
        'locals {\n  api_key = coalesce(var.api_key, "§")\n}\n',
        'locals {\n  password = var.p != "" ? var.p : "§"\n}\n',
        'env = {\n  DB_PASSWORD = "§"\n  "API_TOKEN" : "§"\n}\n',
        'provider "x" { token = "§" }\n',
        'tokens = ["§", "§"]\n',
        "locals {\n  secret_key = <<-EOT\n    §\n  EOT\n}\n",
        'environment {\n  name  = "DB_PASSWORD"\n  value = "§"\n}\n',
    ],
    "dockerfile": [
        "FROM a\nENV DB_PASSWORD=§\n",
        "FROM a\nENV DB_PASSWORD §\n",
        'FROM a\nENV A=b DB_PASSWORD="§" \\\n    API_TOKEN=§\n',
        "FROM a\nARG API_TOKEN=§\n",
        "FROM a\nRUN API_TOKEN='§' make\n",
    ],
    "sh": [
        "DB_PASSWORD=§\n",
        'export DB_PASSWORD="§"\n',
        "readonly API_TOKEN='§'\n",
        ': "${DB_PASSWORD:=§}"\n',
        'DB_PASSWORD="${DB_PASSWORD:-§}"\n',
        "export API_KEY=${API_KEY:-§}\n",
        "API_TOKEN=§ make run\n",
        "docker run -e DB_PASSWORD=§ image\n",
        "cat > .env <<EOF\nDB_PASSWORD=§\nEOF\n",
        'cat <<\'EOF\' > settings.json\n{"db": {"password": "§"}}\nEOF\n',
        "declare -A a\na[password]=1; db_password=$'§'\n",
    ],
    "log": [
        '2026-01-01 INFO {"user": "a", "password": "§"}\n',
        'INFO body="{\\"password\\":\\"§\\"}"\n',
        'INFO body="{\\\\\\"password\\\\\\":\\\\\\"§\\\\\\"}"\n',
        "GET /login?user=a&amp;password&#61;§&amp;b=c\n",
        "callback=https%3A%2F%2Fa.dev%2F%3Fapi_key%3D§%26x%3D1\n",
        "\x1b[32mpassword\x1b[0m=\x1b[1m§\x1b[0m\n",
        "url=https:\\/\\/app:§\\u0040db.acme.dev\\/x\n",
    ],
    "md": [
        "Text\n\n```yaml\ndb:\n  password: !secret §\n```\n",
        'Text\n\n```json\n{"config": "{\\"password\\": \\"§\\"}"}\n```\n',
        "Text\n\n~~~sh\nexport API_KEY=${API_KEY:-§}\n~~~\n",
        "Set <code>password: &quot;§&quot;</code> first.\n",
    ],
}
CASES = [(format, template) for format, templates in WRITTEN.items() for template in templates]


def planted(template: str) -> tuple[str, list[str]]:
    """The text with generated secrets, and these."""
    first, *literals = template.split(HOLE)
    values = [generated() for _ in literals]
    return first + "".join(map("".join, zip(values, literals, strict=True))), values


def file_name(format: str) -> str:
    return {"dockerfile": "Dockerfile", "env": ".env"}.get(format, f"a.{format}")


@pytest.mark.parametrize(("format", "template"), CASES)
def test_each_way_to_write_a_secret_is_seen_to_the_character(
    format: str, template: str, settings: PrivacySettings
) -> None:
    text, values = planted(template)
    spans = spans_of(text, file_name(format), settings)
    assert [text[span.start : span.end] for span in spans if span.category == "secret"] == values


def _yaml_shape(text: str) -> Any:
    return [shape(yaml_value(node)) for node in yaml.compose_all(text, Loader=yaml.BaseLoader)]


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


def _xml_shape(text: str) -> Any:
    def shape_of(element: ElementTree.Element) -> Any:
        return element.tag, sorted(element.attrib), [shape_of(child) for child in element]

    return shape_of(ElementTree.fromstring(text))


def _ini_shape(text: str) -> Any:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    parser.read_string(text)
    return {name: list(section) for name, section in parser.items()}


def _env_shape(text: str) -> Any:
    return list(dotenv.dotenv_values(stream=io.StringIO(text), interpolate=False))


def _shell_shape(text: str) -> Any:
    completed = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    return completed.returncode, completed.stderr


SHAPES: dict[str, Callable[[str], Any]] = {
    "yaml": _yaml_shape,
    "json": lambda text: [shape(json.loads(line)) for line in text.splitlines()],
    "toml": lambda text: shape(tomllib.loads(text)),
    "ini": _ini_shape,
    "env": _env_shape,
    "xml": _xml_shape,
    "sh": _shell_shape,
}
PARSED = [
    (format, template)
    for format, template in CASES
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
@example_settings(max_examples=150, deadline=None)
@pytest.mark.parametrize("format", ["json", "yaml"])
def test_any_json_and_yaml_parses_alike_after_redaction(
    format: str, tree: dict[str, Any], settings: PrivacySettings
) -> None:
    text = json.dumps(tree) if format == "json" else yaml.safe_dump(tree, allow_unicode=True)
    redacted = redact_text(text, f"a.{format}", None, settings, b"k" * 16).text
    parse = json.loads if format == "json" else yaml.safe_load
    assert keys_of(parse(redacted)) == keys_of(tree)


def keys_of(value: Any) -> Any:
    """A value without its texts."""
    if isinstance(value, dict):
        return {key: keys_of(inner) for key, inner in value.items()}
    return [keys_of(inner) for inner in value] if isinstance(value, list) else None


MALFORMED = {
    "a.yaml": 'a: [1, 2\npassword: "§"\n',
    "a.json": '{"a": [1, 2, "password": "§"\n',
    "a.toml": '[db\npassword = "§"\n',
    "a.xml": "<a><b>\n<password>§</password>\n",
    "a.tf": 'variable "x" {\n  password = "§"\n',
    "a.ini": "]]]\npassword = §\n",
    ".env": '"\nDB_PASSWORD=§\n',
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_falls_back_to_line_patterns(name: str, settings: PrivacySettings) -> None:
    text, values = planted(MALFORMED[name])
    assert [text[s.start : s.end] for s in spans_of(text, name, settings)] == values


@pytest.mark.parametrize("format", sorted({f.name for f in FORMATS}))
@pytest.mark.parametrize(
    "part", ["[", "{", '"', "<a>", "<a b=", "a: {", "${a:", "{{", "x: \\\n", "<<E\n", "'''", "&a *a "]
)
def test_text_made_to_nest_without_end_never_raises(format: str, part: str) -> None:
    [parser] = [f for f in FORMATS if f.name == format]
    assert len(list(values_in(MappedText.from_source(part * 3000), parser))) <= 3000


HARMLESS = {
    "a.yaml": [
        "password: ${DB_PASSWORD:-}\n",
        "password: ${DB_PASSWORD:-changeme}\n",
        "password: {{ .Values.password }}\n",
        "token: !Ref ApiToken\n",
        "properties:\n  password:\n    type: string\n    minLength: 12\n",
        "keys:\n  - keyid: a\n    scheme: ecdsa-sha2-nistp256\n",
        "secretKeyRef:\n  name: app-secrets-v2\n  key: db-password-1\n",
    ],
    "a.json": [
        '{"password": {"$ref": "#/definitions/Password1"}}\n',
        '{"tokens": ["<s>", "</s>", "▁the"], "key": "value"}\n',
    ],
    "a.xml": ["<a><password>${db.password}</password></a>\n", "<key>Label</key>\n"],
    "a.tf": ["password = var.db_password\n", 'variable "api_token" {\n  type = string\n}\n'],
    "a.properties": ["db.password=\ndb.user=app\n", "password.encoder=bcrypt\n"],
    "a.sh": ['PASSWORD="$1"\nTOKEN=$(cat token.txt)\n: "${API_TOKEN:?not set, see README1}"\n'],
    "Dockerfile": ["ARG API_TOKEN\nENV API_TOKEN=$API_TOKEN\n"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in HARMLESS.items() for text in texts])
def test_references_and_descriptions_are_no_secrets(name: str, text: str, settings: PrivacySettings) -> None:
    assert spans_of(text, name, settings) == []
