"""INI and its relatives: sections of ``key = value``, ``key: value`` and ``key value``."""

import re
from collections.abc import Iterator

from cortex_pipelines.privacy.detect.settings.format import Setting, SettingsFormat
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText

_LINE = re.compile(
    r"""(?mx)
    ^[ \t]*\[(?P<section>[^\]\n]{1,200})\][^\n]*$
  | ^[ \t]*(?:[+!~-][ \t]?)?(?P<key>(?:[\w@./:-]|[ ](?=[\w ]{1,30}[=:]))[^=:\[\]\n"'<>{}()]{0,79}?)
    [ \t]*(?:=|:(?!//))[ \t]*(?P<value>[^\n]*(?:\n[ \t]+[^\s=:;\#][^\n=:]*$)*)
  | ^[ \t]*(?P<directive>[A-Za-z][\w.-]{1,60})[ \t]+
    (?P<argument>"[^"\n]+"|'[^'\n]+'|[^\s;{}]+)[ \t]*;?[ \t]*$
    """
)
_COMMENT = re.compile(r"[ \t]+[#;].*|[ \t]*\r?$", re.DOTALL)
_CONTINUED = re.compile(r"\s*\n\s*")
_LIST = re.compile(r"[A-Za-z][\w./-]*+(?:\s*+,\s*+[A-Za-z*][\w./-]*+)+")
_QUOTES = ("'", '"')


def read_settings(text: MappedText) -> Iterator[Setting]:
    """Values of all sections; lines of other forms are passed over."""
    section = ""
    for line in _LINE.finditer(text.text):
        if line["section"] is not None:
            section = line["section"].strip().strip("\"'")
        elif not line[0].lstrip().startswith(("#", ";", "//")):
            group = "value" if line["key"] is not None else "argument"
            name = line["key"] or line["directive"]
            value, quoted = _contents(text.slice(*line.span(group)))
            if quoted or not _LIST.fullmatch(value.text):
                yield Setting(f"{section}.{name}" if section else name, value, quoted)


def _contents(value: MappedText) -> tuple[MappedText, bool]:
    """A value without comments and quotes, and whether it had some."""
    quote = value.text[:1]
    end = value.text.find(quote, 1) if quote in _QUOTES and quote else -1
    if end > 0:
        return value.slice(1, end), True
    comment = _COMMENT.search(value.text)
    if comment and "\n" not in value.text:
        value = value.slice(0, comment.start())
    return value.replaced(_CONTINUED, lambda _: "\n").stripped(), False


FORMAT = SettingsFormat(
    name="ini",
    files=(
        "*.ini", "*.cfg", "*.conf", "*.config", "*.cnf", "*.inf", "*.reg", "*.desktop", "*.service",
        ".gitconfig", "config", "credentials", ".s3cfg", ".npmrc", ".yarnrc", ".pypirc", "pip.conf",
        ".esmtprc", ".msmtprc", ".muttrc", ".my.cnf", ".boto", ".passwd-s3fs", ".editorconfig",
        ".coveragerc", ".flake8", "*.exs.secret", ".ovpn", "*.ovpn", "*.service.d", "*.pgpass",
        ".fetchmailrc", ".curlrc", ".wgetrc", ".condarc", ".tugboat", "*rc", "*.credentials",
        ".credentials", "*.kdc", "*.tnsnames", "*.odbc", "odbc.ini", "*.cred", "*.prefs",
    ),
    fences=("ini", "cfg", "conf", "config"),
    parse=read_settings,
)  # fmt: skip
