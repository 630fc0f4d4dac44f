"""Shell: assignments, exports, options with ``NAME=value``, here-documents."""

import re
from collections.abc import Iterator

from cortex_pipelines.privacy.detect.settings.format import Setting, SettingsFormat
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText, backslashes_resolved

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


def read_settings(text: MappedText) -> Iterator[Setting]:
    """Values of variables, and here-documents under the name of the file they are written to."""
    for pattern in (_ASSIGNED, _SET):
        for assigned in pattern.finditer(text.text):
            value, quoted = _word(text, assigned.end())
            if value.text:
                yield Setting(assigned["name"], value, quoted)
    yield from _here_documents(text)


def _word(text: MappedText, position: int) -> tuple[MappedText, bool]:
    """The word at a position, its segments joined, and whether any of them is quoted."""
    parts: list[MappedText] = []
    quoted = False
    while segment := _PIECE.match(text.text, position):
        kind = segment.lastgroup or "bare"
        part = text.slice(*segment.span(kind))
        parts.append(part if kind == "single" else backslashes_resolved(part))
        quoted = quoted or kind != "bare"
        position = segment.end()
    return (parts[0] if len(parts) == 1 else MappedText.concatenate(parts)), quoted


def _here_documents(text: MappedText) -> Iterator[Setting]:
    for heredoc in _HERE.finditer(text.text) if "<<" in text.text else ():
        end = re.compile(rf"(?m)^\t*{heredoc['end']}$").search(text.text, heredoc.end())
        target = _TARGET.search(heredoc[0])
        if end:
            name = target[1] if target else "here-document"
            yield Setting(name, text.slice(heredoc.end(), end.start()), quoted=True)


FORMAT = SettingsFormat(
    name="shell",
    files=(
        "*.sh", "*.bash", "*.zsh", "*.ksh", "*.fish", "*.csh", ".bashrc", ".zshrc", ".profile",
        ".bash_profile", ".zprofile", ".zshenv", ".bash_aliases", ".bash_login", "*.bats",
        ".bash_history", ".zsh_history", ".zsh-history", "*.command",
    ),
    fences=("sh", "bash", "shell", "zsh", "console", "shell-session", "fish", "terminal"),
    parse=read_settings,
)  # fmt: skip
