"""Values in files of settings, by the parser of their format."""

import re
from collections.abc import Iterator
from fnmatch import translate
from functools import lru_cache

from cortex_pipelines.privacy.detect.context import is_code
from cortex_pipelines.privacy.detect.named_values import NamedValue
from cortex_pipelines.privacy.detect.names import SUSPECT
from cortex_pipelines.privacy.detect.settings.format import COMPOUND, Parser, Setting, SettingsFileError
from cortex_pipelines.privacy.detect.settings.formats.blocks import read_hcl, read_xml
from cortex_pipelines.privacy.detect.settings.formats.lines import (
    read_dockerfile,
    read_dotenv,
    read_ini,
    read_properties,
    read_shell,
)
from cortex_pipelines.privacy.detect.settings.formats.nested import read_json, read_toml, read_yaml
from cortex_pipelines.privacy.detect.text.indexed_text import IndexedText
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText

_EXPANSION = re.compile(
    r"""\$\{\s*(?P<name>[\w.\-\[\]/]{1,80})\s*
    (?:(?P<sets>:?[-=+])|(?P<colon>:(?!\?))|(?P<comma>,))
    (?P<value>(?:[^{}\n]|\{[^{}\n]*+\}){1,1000}+)\}""",
    re.VERBOSE,
)
_RESOLVER = re.compile(r"(?:[\w.]{1,20}:)?(?P<name>[A-Za-z_][\w.]{0,80})\s*(?:,|:-?)\s*")
_RESOLVERS = ("oc.env", "env", "sys", "opt", "self", "oc.select")
_BLOCK = re.compile(
    r"\{\{(?P<go>[^\n]{1,500}?)\}\}|<%(?P<erb>[^\n]{1,500}?)%>|\{%(?P<jinja>[^\n]{1,500}?)%\}"
    r"|\#\{(?P<ruby>[^\n{}]{1,300})\}"
)
_LITERAL = re.compile(
    r"""(?P<before>\|\||\?\?|\?:|\bor\b|\belse\b|\bdefault:?\s*\(?|\bd\(|[,{?:]|[^=!<>]=)\s*
    (?P<quote>["'`])(?P<value>(?:(?!(?P=quote))[^\\\n]|\\.){1,1000})(?P=quote)""",
    re.VERBOSE,
)
_NAMED = re.compile(r"""[A-Za-z_][\w.]{1,60}(?=["'\s\])]*$)|(?<=["'])[\w.-]{2,60}(?=["'])|\.\w[\w.]+""")
_QUOTES = "\"'"


def fallback_settings(name: str, value: MappedText) -> Iterator[Setting]:
    """Fallback values of the variables in a value.

    Each fallback is yielded twice, under the name of the setting and that of the variable.
    """
    text = value.text
    for expansion in _EXPANSION.finditer(text) if "${" in text else ():
        yield from _of_expansion(name, value, expansion)
    has_blocks = "{{" in text or "<%" in text or "{%" in text or "#{" in text
    for match in _BLOCK.finditer(text) if has_blocks else ():
        block = value.slice(*match.span(match.lastgroup or "go"))
        for literal in _LITERAL.finditer(block.text):
            variables = _NAMED.findall(block.text[: literal.start()])[-2:]
            for owner in filter(None, (name, *variables)):
                yield Setting(owner, block.slice(*literal.span("value")), quoted=True)


def _of_expansion(name: str, value: MappedText, expansion: re.Match[str]) -> Iterator[Setting]:
    variable, contents = expansion["name"], value.slice(*expansion.span("value"))
    resolver = _RESOLVER.match(contents.text) if variable in _RESOLVERS else None
    if resolver:
        variable = resolver["name"]
        contents = contents.slice(resolver.end(), len(contents.text))
    elif expansion["comma"]:
        return
    if "${" in contents.text:
        yield from fallback_settings(variable, contents)
        yield from fallback_settings(name, contents)
        return
    bare = contents.stripped(" \"'")
    for owner in (name, variable):
        if owner and bare.text:
            yield Setting(owner, bare, contents.text[:1] in _QUOTES)


_FORMATS: tuple[tuple[str, Parser, str, str], ...] = (
    ("dockerfile", read_dockerfile, "dockerfile dockerfile.* *.dockerfile containerfile *.containerfile", "docker"),
    ("dotenv", read_dotenv, ".env .env.* *.env .envrc env *.env.* .flaskenv *.envrc", "env"),
    ("hcl", read_hcl, "*.tf *.tfvars *.hcl *.nomad *.pkrvars *.tofu *.tfbackend", "terraform tf tfvars"),
    (
        "ini",
        read_ini,
        "*.ini *.cfg *.conf *.config *.cnf *.inf *.reg *.desktop *.service *.service.d .gitconfig config credentials "
        "*.credentials .credentials *.cred .s3cfg pip.conf .boto .passwd-s3fs .editorconfig .flake8 *.exs.secret "
        "*.ovpn *.pgpass .tugboat *rc *.kdc *.tnsnames *.odbc *.prefs",
        "cfg conf config",
    ),
    (
        "json",
        read_json,
        "*.json *.jsonc *.json5 *.jsonl *.ndjson *.ipynb *.geojson *.tfstate *.webmanifest *.code-workspace *.har "
        ".*rc.json .dockercfg .babelrc .eslintrc .ftpconfig .prettierrc *.avsc *.jshintrc composer.lock",
        "jsonc json5 jsonl",
    ),
    (
        "xml",
        read_xml,
        "*.xml *.plist *.config *.csproj *.vbproj *.props *.targets *.wsdl *.xsd *.pom *.iml *.resx *.xmp *.ant "
        "*.mobileconfig *.strings *.storyboard *.nuspec *.jnlp *.jelly *.tm7 *.drawio *.pubxml *.rdp "
        "*.publishsettings *.svg *.dsn",
        "plist",
    ),
    ("properties", read_properties, "*.properties", "java-properties"),
    (
        "shell",
        read_shell,
        "*.sh *.bash *.zsh *.ksh *.fish *.csh .bashrc .zshrc .profile .bash_profile .zprofile .zshenv .bash_aliases "
        ".bash_login *.bats .bash_history .zsh_history .zsh-history *.command",
        "sh bash zsh console shell-session fish terminal",
    ),
    ("toml", read_toml, "*.toml pipfile poetry.lock cargo.lock uv.lock *.tml", ""),
    (
        "yaml",
        read_yaml,
        "*.yaml *.yml *.yaml-tpl .clang-format .clang-tidy *.cff .yamllint .gemrc .travis *.sls .tugboat hub *.eyaml "
        "*.raml",
        "yml docker-compose compose helm",
    ),
)
"""Name, parser, names of files in lower case as `fnmatch` reads them, and further names after an opening fence."""

FORMATS = {name: parse for name, parse, _, _ in _FORMATS}
_FILES = [(parse, re.compile("|".join(map(translate, files.split())))) for _, parse, files, _ in _FORMATS]
_BY_FENCE = {fence: parse for name, parse, _, fences in _FORMATS for fence in (name, *fences.split())}
_LONGEST_NAME = 100
_HEAD = 1000
_LONGEST = 5000  # keys of several lines included
_DEEPEST = 5  # a value within a value within a value
_JSON = re.compile(r"\s*(?:\{\s*[\"'}]|\[\s*[\"'{\[])")
# With a value that is not a number.
_JSON_NAME = re.compile(
    r"""[\w$.\ /@\[\]-]{0,60}
    (?:\\*["'`]\s*+:\s*+(?!-?[0-9.eE+-]++\s*+[,}\]]|true\b|false\b|null\b)|\\*["'`]?\s*+=|\s*+:)""",
    re.VERBOSE,
)
_JSON_STRING_END = re.compile(r"""[\w$. /@:\[\]-]{0,60}\\*["']""")
_JSON_STRING_START = re.compile(r"""[\w$. /@:\[\]-]*["']""")  # backwards
_LINE_PAIR = re.compile(r"[A-Za-z_][\w.-]{1,60}=[^\s=]")
_PAIR = re.compile(r"(?:^|[;&?,\s])\s*([A-Za-z_][\w .-]{0,40}?)\s*=\s*([^;&\s\"',]+)(?=[;&\s\"',]|$)")
_BEFORE_PAIRS = re.compile(r"[^;&=\s]+(?=[;&][A-Za-z_][\w .-]{0,40}=)")
_KEY_LINE = re.compile(r"[A-Za-z0-9+/=_-]+")
_EXTRA = re.compile(
    r"\.(?:erb|j2|jinja2?|tmpl|tpl|template|dist|example|sample|in|bak|orig|old|local|prod"
    r"|production|dev|development|staging|test|default|enc|dec|gotmpl|mustache|ejs|txt|backup|save)$"
)


def settings_values(indexed: IndexedText, path: str) -> Iterator[NamedValue]:
    """Values of a file of settings with their names; of other files fallbacks of variables.

    A malformed file yields the settings before the fault. The path's name tells the format where the text does not.
    """
    if not (indexed.could_assign_secrets or indexed.has_hidden_names):
        return
    text = indexed.text
    for parse in _formats_by_content(text, path):
        if parse is not read_json or indexed.has_hidden_names or _has_json_name(indexed):
            yield from values_in(MappedText.from_source(text), parse)
    if "${" in text and not is_code(path):
        for setting in fallback_settings("", MappedText.from_source(text)):
            yield from _named_values(setting)


def _has_json_name(indexed: IndexedText) -> bool:
    """Whether a suspicious name stands where JSON, or settings inside it, has names, not in prose."""
    text = indexed.text
    return any(
        _JSON_NAME.match(text, end)
        or (_JSON_STRING_END.match(text, end) and _JSON_STRING_START.match(text[max(0, start - 60) : start][::-1]))
        for start, end in indexed.suspects
    )


def values_in(text: MappedText, parse: Parser) -> Iterator[NamedValue]:
    for setting in _read(parse, text):
        if SUSPECT.search(setting.name.lower()) or COMPOUND.search(setting.value.text):
            for inner in _expanded(setting, 0):
                yield from _named_values(inner)


def _named_values(setting: Setting) -> Iterator[NamedValue]:
    if len(setting.value.text) <= _LONGEST and SUSPECT.search(setting.name.lower()):
        value = setting.named_value()
        if value is not None:
            yield value


def formats_of(path: str) -> tuple[Parser, ...]:
    """Formats that a file may have by its name; several if the name is ambiguous."""
    return _formats_of(path.replace("\\", "/").rpartition("/")[2].lower()[-_LONGEST_NAME:])


@lru_cache(maxsize=1 << 12)
def _formats_of(name: str) -> tuple[Parser, ...]:
    while name:
        formats = tuple(parse for parse, files in _FILES if files.match(name))
        shorter = _EXTRA.sub("", name)
        if formats or shorter == name:
            return formats
        name = shorter
    return ()


def _formats_by_content(text: str, path: str) -> tuple[Parser, ...]:
    """Formats by name, unless the text begins as XML; JSON if the name matches none."""
    formats = formats_of(path)
    start = text[:_HEAD].lstrip("\ufeff \t\r\n")
    if start.startswith("<"):
        is_page = path.lower().endswith((".html", ".htm", ".svg", ".md"))
        return () if is_code(path) or is_page else (read_xml,)
    if not formats and start.startswith("{") and not is_code(path):
        return (read_json,)
    return tuple(parse for parse in formats if parse is not read_xml)


def _read(parse: Parser, text: MappedText) -> Iterator[Setting]:
    try:
        yield from parse(text)
    except SettingsFileError:
        return  # the line patterns see the rest


def _expanded(setting: Setting, depth: int) -> Iterator[Setting]:
    value = setting.value
    text = value.text
    if "\n" not in text:
        if not (text[:1] in "{[" and text[-1:] in "}]"):
            alone = _BEFORE_PAIRS.match(text)
            part = value.slice(0, alone.end()) if alone else value
            yield Setting(setting.name, part, setting.quoted)
    elif all(map(_KEY_LINE.fullmatch, text.split())):
        lines = MappedText.concatenate(value.slice(*line.span()) for line in _KEY_LINE.finditer(text))
        yield Setting(setting.name, lines, setting.quoted)
    yield from fallback_settings(setting.name, value)
    if depth < _DEEPEST:
        for inner in _embedded(setting):
            yield from _expanded(inner, depth + 1)


def _embedded(setting: Setting) -> Iterator[Setting]:
    """Settings inside a value: JSON, a file, variables by line, pairs of a connection string."""
    value, text = setting.value, setting.value.text
    if _JSON.match(text) and text.rstrip()[-1:] in "}]":
        try:
            yield from list(read_json(value, setting.name))
        except SettingsFileError:
            return
    elif "\n" in text:
        for parse in formats_of(setting.name) or (read_dotenv,):
            yield from _read(parse, value)
    elif "=" in text:
        pairs = list(_PAIR.finditer(text))
        if len(pairs) > 1 or (pairs and _LINE_PAIR.match(text)):
            for pair in pairs:
                yield Setting(pair[1], value.slice(*pair.span(2)), quoted=False)


_MARKDOWN = re.compile(
    r"(?m)^[ \t>]*(?P<fence>`{3,}|~{3,})[ \t]*\{?\.?(?P<format>[\w-]+)[^\n`]*\n"
    r"(?P<body>(?:(?![ \t>]*(?P=fence)[ \t]*$)[^\n]*\n)*+)[ \t>]*(?P=fence)[ \t]*$"
)
_RESTRUCTURED = re.compile(
    r"(?m)^(?P<indent>[ \t]*)\.\.[ ]+(?:code-block|code|sourcecode)::[ \t]*"
    r"(?P<format>[\w-]+)[^\n]*\n"
    r"(?P<body>(?:(?P=indent)[ \t]+[^\n]*\n|[ \t]*\n)*+)"
)
_DOCUMENTS = (".md", ".mdx", ".markdown", ".txt", ".qmd", ".rmd")


def fenced_values(indexed: IndexedText, path: str) -> Iterator[NamedValue]:
    """Values of settings with their names in the blocks of code of a document, by its path."""
    text, name = indexed.text, path.lower()
    if not (indexed.could_assign_secrets or indexed.has_hidden_names):
        return
    patterns = [_RESTRUCTURED] if name.endswith((".rst", ".txt")) and "::" in text else []
    if (name.endswith(_DOCUMENTS) or "." not in name) and ("```" in text or "~~~" in text):
        patterns.append(_MARKDOWN)
    for pattern in patterns:
        for block in pattern.finditer(text):
            parse = _BY_FENCE.get(block["format"].lower())
            if parse:
                yield from values_in(MappedText.from_source(text).slice(*block.span("body")), parse)
