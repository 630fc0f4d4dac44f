"""HCL of Terraform, Packer and Nomad: blocks with labels, attributes, expressions, heredocs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from cortex_pipelines.privacy.detect.settings.format import Setting, SettingsFileError, SettingsFormat
from cortex_pipelines.privacy.detect.settings.nested_keys import NestedKeys
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText, backslashes_resolved

_TOKEN = re.compile(
    r"""
      (?P<blank>[ \t\r,;]++|\#[^\n]*+|//[^\n]*+|/\*(?:[^*]|\*(?!/))*+\*/)
    | (?P<heredoc><<[-~]?(?P<end>\w+)[ \t]*\r?\n
      (?P<body>(?:(?![ \t]*(?P=end)[ \t]*(?:\r?$))[^\n]*\n)*+)
      [ \t]*(?P=end)(?=\s|$))
    | (?P<string>"(?:[^"\\$]|\\.|\$(?!\{)|\$\{(?:[^{}"]|"(?:[^"\\\n]|\\.)*+")*+\})*+")
    | (?P<line>\n)
    | (?P<open>[{\[(])
    | (?P<close>[}\])])
    | (?P<sets>=(?![=>])|:(?!:))
    | (?P<word>[\w.*-]++)
    | (?P<other>[^\s"\w])
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


@dataclass(slots=True)
class _Block:
    """An open bracket: a block or object, a list, or the arguments of a call."""

    bracket: str = "{"
    words: list[str] = field(default_factory=list)
    key: str | None = None


def read_settings(text: MappedText) -> Iterator[Setting]:
    """String literals of all attributes.

    Raises:
        SettingsFileError: a string or bracket is not closed.
    """
    keys = NestedKeys()
    keys.open(is_mapping=True)
    blocks = [_Block()]
    position = 0
    while position < len(text.text):
        token = _TOKEN.match(text.text, position)
        if token is None:
            raise SettingsFileError(f"not HCL at character {position}")
        yield from _read(text, token, blocks, keys)
        position = token.end()
    if len(blocks) > 1:
        raise SettingsFileError("a bracket is not closed")
    yield from keys.close()


def _read(text: MappedText, token: re.Match[str], blocks: list[_Block], keys: NestedKeys) -> Iterator[Setting]:
    block, kind = blocks[-1], _kind(token)
    if kind == "open":
        blocks.append(_Block(token[0]))
        if token[0] != "(":
            yield from _push_key(keys, block)
            keys.open(is_mapping=token[0] == "{")
    elif kind == "close":
        if len(blocks) == 1:
            raise SettingsFileError("a bracket is closed that was not opened")
        if blocks.pop().bracket != "(":
            yield from keys.close()
    elif kind == "line":
        if block.bracket == "{":
            block.words, block.key = [], None
    elif kind == "sets" and block.bracket == "{" and block.key is None:
        block.key = block.words[-1] if block.words else ""
    elif kind == "string" and block.bracket == "{" and block.key is None:
        block.words.append(token[0][1:-1])
    elif kind in ("string", "heredoc"):
        yield from _push_key(keys, _owner(blocks))
        yield from keys.scalar(_literal(text, token), quoted=True)
    elif kind == "word" and block.key is None:
        block.words.append(token[0])


def _kind(token: re.Match[str]) -> str:
    return "heredoc" if token["heredoc"] is not None else token.lastgroup or ""


def _owner(blocks: list[_Block]) -> _Block:
    """The block whose attribute a literal belongs to, around calls."""
    return next(block for block in reversed(blocks) if block.bracket != "(")


def _push_key(keys: NestedKeys, block: _Block) -> Iterator[Setting]:
    """Announce the key of the next value; elements of a list have none."""
    if block.bracket == "{":
        name = ".".join(block.words) if block.key is None else block.key
        yield from keys.scalar(MappedText(name, (), ()), quoted=False)


def _literal(text: MappedText, token: re.Match[str]) -> MappedText:
    if token["heredoc"] is not None:
        return text.slice(*token.span("body"))
    return backslashes_resolved(text.slice(token.start() + 1, token.end() - 1))


FORMAT = SettingsFormat(
    name="hcl",
    files=("*.tf", "*.tfvars", "*.hcl", "*.nomad", "*.pkrvars", "*.tofu", "*.tfbackend"),
    fences=("hcl", "terraform", "tf", "tfvars"),
    parse=read_settings,
)
