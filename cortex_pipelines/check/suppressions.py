"""Comments that suppress rules: ``cortex: ignore``, or ``cortex: ignore[rule, …]``.

At the end of a line it holds for that line, on a line of its own for the next one; ``cortex: ignore-file`` holds for
the whole file.
"""

import re
from collections.abc import Callable

from cortex_pipelines.check.checked_file import CheckedFile
from cortex_pipelines.check.findings import Finding

_IGNORE = re.compile(r"\bcortex:\s*ignore(-file)?(?:\[([^\]\n]*)\])?(?![\w-])")
_ALL = ""


def suppression_filter(file: CheckedFile) -> Callable[[Finding], bool]:
    """A predicate: whether a comment of the file suppresses a finding."""
    if b"cortex:" not in file.data:
        return lambda finding: False
    ignored: dict[int, set[str]] = {}  # rules by line; line 0 stands for the file
    for comment in file.comments():
        for match in _IGNORE.finditer((comment.text or b"").decode(errors="replace")):
            of_file, rules = match.groups()
            own_line = not file.data[file.line_starts[comment.start_point[0]] : comment.start_byte].strip()
            line = 0 if of_file else comment.end_point[0] + (2 if own_line else 1)
            ignored.setdefault(line, set()).update(re.split(r"[,\s]+", rules.strip()) if rules else [_ALL])

    def is_ignored(finding: Finding) -> bool:
        kind = finding.rule.partition("/")[0]
        return any(not {_ALL, kind, finding.rule}.isdisjoint(ignored.get(line, ())) for line in (0, finding.line))

    return is_ignored
