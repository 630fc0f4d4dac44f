"""Fallback values of references that are not set: ``${PASSWORD:-…}``."""

import re
from collections.abc import Iterator

from cortex_pipelines.privacy.detect.settings.format import Setting
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
    if "${" in text:
        for expansion in _EXPANSION.finditer(text):
            yield from _of_expansion(name, value, expansion)
    if "{{" in text or "<%" in text or "{%" in text or "#{" in text:
        for block in _BLOCK.finditer(text):
            group = block.lastgroup or "go"
            yield from _of_block(name, value.slice(*block.span(group)))


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
    quoted = contents.text[:1] in _QUOTES
    bare = contents.stripped(" \"'")
    for owner in (name, variable):
        if owner and bare.text:
            yield Setting(owner, bare, quoted)


def _of_block(name: str, block: MappedText) -> Iterator[Setting]:
    for literal in _LITERAL.finditer(block.text):
        value = block.slice(*literal.span("value"))
        if name:
            yield Setting(name, value, quoted=True)
        for variable in _NAMED.findall(block.text[: literal.start()])[-2:]:
            yield Setting(variable, value, quoted=True)
