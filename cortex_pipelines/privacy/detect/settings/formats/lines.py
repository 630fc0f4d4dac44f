"""Formats of one setting a line: INI, properties, ``.env``, shell, Dockerfile."""

import re
from collections.abc import Iterator

from cortex_pipelines.privacy.detect.settings.format import Setting
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText, backslashes_resolved

_INI_LINE = re.compile(
    r"""(?mx) ^[ \t]*\[(?P<section>[^\]\n]{1,200})\][^\n]*$
  | ^[ \t]*(?:[+!~-][ \t]?)?(?P<key>(?:[\w@./:-]|[ ](?=[\w ]{1,30}[=:]))[^=:\[\]\n"'<>{}()]{0,79}?)
    [ \t]*(?:=|:(?!//))[ \t]*(?P<value>[^\n]*(?:\n[ \t]+[^\s=:;\#][^\n=:]*$)*)
  | ^[ \t]*(?P<directive>[A-Za-z][\w.-]{1,60})[ \t]+
    (?P<argument>"[^"\n]+"|'[^'\n]+'|[^\s;{}]+)[ \t]*;?[ \t]*$
    """
)
_INI_COMMENT = re.compile(r"[ \t]+[#;].*|[ \t]*\r?$", re.DOTALL)
_CONTINUED = re.compile(r"\s*\n\s*")
_LIST = re.compile(r"[A-Za-z][\w./-]*+(?:\s*+,\s*+[A-Za-z*][\w./-]*+)+")


def read_ini(text: MappedText) -> Iterator[Setting]:
    """INI and its relatives: sections of ``key = value``, ``key: value`` and ``key value``."""
    section = ""
    for line in _INI_LINE.finditer(text.text):
        if line["section"] is not None:
            section = line["section"].strip().strip("\"'")
        elif not line[0].lstrip().startswith(("#", ";", "//")):
            group = "value" if line["key"] is not None else "argument"
            name = line["key"] or line["directive"]
            value, quoted = _ini_value(text.slice(*line.span(group)))
            if quoted or not _LIST.fullmatch(value.text):
                yield Setting(f"{section}.{name}" if section else name, value, quoted)


def _ini_value(value: MappedText) -> tuple[MappedText, bool]:
    """A value without comments and quotes, and whether it had some."""
    quote = value.text[:1]
    end = value.text.find(quote, 1) if quote in ("'", '"') else -1
    if end > 0:
        return value.slice(1, end), True
    comment = _INI_COMMENT.search(value.text)
    if comment and "\n" not in value.text:
        value = value.slice(0, comment.start())
    return value.replaced(_CONTINUED, lambda _: "\n").stripped(), False


_PROPERTY = re.compile(
    r"(?m)^[ \t\f]*(?![#!\s])(?P<key>(?:\\.|[^\\\s=:])++)(?:[ \t\f]*[=:]|(?=[ \t\f]))[ \t\f]*"
    r"(?P<value>(?:\\\r?\n[ \t]*|\\.|[^\\\n])*+)"
)


def read_properties(text: MappedText) -> Iterator[Setting]:
    """Java's properties: continued lines, escapes, keys that end at ``=``, ``:`` or a blank."""
    for line in _PROPERTY.finditer(text.text):
        value = backslashes_resolved(text.slice(*line.span("value")))
        yield Setting(line["key"].replace("\\", ""), value.stripped(), quoted=False)


_VARIABLE = re.compile(
    r"""(?mx) ^[ \t]*(?:export[ \t]+|set[ \t]+|SET[ \t]+)?(?P<key>[A-Za-z_][\w.-]*+)[ \t]*[=:][ \t]*
    (?:"(?P<double>(?:[^"\\]|\\.|\\\n)*+)" | '(?P<single>[^']*+)' | (?P<bare>[^\n]*+))
    """
)
_COMMENT = re.compile(r"[ \t]+#.*")


def read_dotenv(text: MappedText) -> Iterator[Setting]:
    """Files of environment variables, ``.env``: quoted values may have several lines."""
    for line in _VARIABLE.finditer(text.text):
        kind = line.lastgroup or "bare"
        value = text.slice(*line.span(kind))
        if kind == "double":
            value = backslashes_resolved(value)
        elif kind == "bare":
            comment = _COMMENT.search(value.text)
            value = value.slice(0, comment.start() if comment else len(value.text)).stripped()
        yield Setting(line["key"], value, quoted=kind != "bare")


_ASSIGNED = re.compile(r"""(?mx)(?:^|(?<=[\s;&|({`"']))(?P<name>[A-Za-z_][\w.]*+)(?:\[[^\]\n]{0,60}\])?\+?=""")
_PIECE = re.compile(
    r"""
      \$?"(?P<double>(?:[^"\\$]|\\.|\$\{[^{}\n]*+\}|\$)*+)"
    | \$'(?P<escaped>(?:[^'\\]|\\.)*+)'
    | '(?P<single>[^']*+)'
    | (?P<bare>(?:[^\s'"\\;&|<>()`$]|\\[^\n]|\$(?![('"{])
      |\$\{(?:[^{}\n"']|"[^"\n{}]*+"|'[^'\n{}]*+'|\{[^{}\n]*+\})*+\})++)
    """,
    re.VERBOSE | re.DOTALL,
)
_SET = re.compile(r"""(?mx)^[ \t]*(?:setenv|set[ \t]+-\w*x\w*|setx)[ \t]+(?P<name>[A-Za-z_]\w*)[ \t]+""")
_HERE = re.compile(
    r"""(?m)^(?P<command>[^\n]*?)<<-?[ \t]*(?P<quote>["']?)(?P<end>[A-Za-z_]\w*)(?P=quote)"""
    r"[^\n]*\n"
)
_TARGET = re.compile(r"(?:>{1,2}|\btee(?:[ \t]+-a)?)[ \t]*[\"']?([\w./${}~-]+)")


def read_shell(text: MappedText) -> Iterator[Setting]:
    """Values of variables, and here-documents under the name of the file they are written to."""
    for pattern in (_ASSIGNED, _SET):
        for assigned in pattern.finditer(text.text):
            parts: list[MappedText] = []
            quoted, position = False, assigned.end()
            while segment := _PIECE.match(text.text, position):
                kind = segment.lastgroup or "bare"
                part = text.slice(*segment.span(kind))
                parts.append(part if kind == "single" else backslashes_resolved(part))
                quoted = quoted or kind != "bare"
                position = segment.end()
            value = parts[0] if len(parts) == 1 else MappedText.concatenate(parts)
            if value.text:
                yield Setting(assigned["name"], value, quoted)
    for heredoc in _HERE.finditer(text.text) if "<<" in text.text else ():
        end = re.compile(rf"(?m)^\t*{heredoc['end']}$").search(text.text, heredoc.end())
        target = _TARGET.search(heredoc[0])
        if end:
            yield Setting(target[1] if target else "here-document", text.slice(heredoc.end(), end.start()), quoted=True)


_SPACED = re.compile(r"(?mi)^[ \t]*ENV[ \t]+(?P<name>[A-Za-z_]\w*)[ \t]+(?:\\\n[ \t]*)?(?P<value>[^\n]*[^\s\\])")


def read_dockerfile(text: MappedText) -> Iterator[Setting]:
    """``ENV`` and ``ARG`` in both forms, ``LABEL``, and variables in commands."""
    yield from read_shell(text)
    for spaced in _SPACED.finditer(text.text):
        value = text.slice(*spaced.span("value"))
        quoted = value.text[:1] in "\"'" and value.text[-1:] == value.text[:1]
        yield Setting(spaced["name"], value.stripped("\"'") if quoted else value, quoted)
