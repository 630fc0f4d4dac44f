"""Classify the purpose of a refactoring by message, type and removed smells (labels as in annotation)."""

import re

from cortex_pipelines.extraction.refactoring.model import Refactoring
from cortex_pipelines.extraction.settings import PairSettings

_SECURITY = re.compile(
    r"\bsecur|\bvulnerab|\bCVE-\d|\bCWE-\d|\bexploit|\binjection|\bXSS\b|\bCSRF\b|\bSSRF\b"
    r"|\bsaniti[sz]|\bescap(?:e|ing) (?:html|user|input|shell|sql)|\bpath traversal"
    r"|\bleak(?:s|ed|ing)? (?:secret|password|token|credential)|\btiming attack|\bconstant.time"
    r"|\bunsafe (?:eval|pickle|yaml|deseriali)|\bharden",
    re.IGNORECASE,
)
_PERFORMANCE = re.compile(
    r"\bperf\b|\bperformance|\bfaster\b|\bspeed(?:s|ed|ing)?[ -]?up|\bspeed\b|\boptimi[sz]"
    r"|\bslow(?:er|ness)?\b|\blatency|\bthroughput|\ballocat|\bmemory (?:use|usage|footprint)"
    r"|\bcach(?:e|ed|ing)\b|\bmemoi[sz]|\bbatch(?:ed|ing)?\b|\bO\(n|\bavoid (?:copy|copies|extra)",
    re.IGNORECASE,
)
_INDENT = re.compile(r"^([ \t]*)\S", re.MULTILINE)
_PARAMETERS = re.compile(r"\(([^()]*(?:\([^()]*\)[^()]*)*)\)")
_READABLE = ("Rename", "Reorder")
_STRUCTURAL = ("Extract", "Inline", "Move", "Pull Up", "Push Down", "Remove Parameter", "Split")


def purpose_of(refactoring: Refactoring, message: str, smell: str | None) -> str:
    """``security``, ``performance``, ``smell`` or ``readability``: a weak label by keywords."""
    stated_purpose = purpose_in_message(message)
    if stated_purpose == "security" or (stated_purpose == "performance" and not refactoring.type.startswith(_READABLE)):
        return stated_purpose
    structural = refactoring.type.startswith(_STRUCTURAL)
    return "smell" if smell or structural else "readability"


def purpose_in_message(message: str) -> str:
    """``security`` or ``performance`` if a text names it, else ``readability``."""
    if _SECURITY.search(message):
        return "security"
    return "performance" if _PERFORMANCE.search(message) else "readability"


def smell_gone(refactoring: Refactoring, settings: PairSettings) -> str | None:
    lines_before = refactoring.end_line_before - refactoring.start_line_before + 1
    lines_after = refactoring.end_line_after - refactoring.start_line_after + 1
    if lines_before > settings.long_lines >= lines_after:
        return "long-method"
    before, after = (parameter_count(refactoring.code_before), parameter_count(refactoring.code_after))
    if refactoring.type == "Remove Parameter" and before > settings.many_parameters >= after:
        return "long-parameter-list"
    origin = "\n".join(refactoring.code_after.splitlines()[:lines_after])
    if depth(refactoring.code_before) > settings.deep_levels >= depth(origin):
        return "deep-nesting"
    return None


def depth(code: str) -> int:
    """Levels of indentation inside a unit; its body is level one."""
    indents = sorted({len(match[1].expandtabs(4)) for match in _INDENT.finditer(code)})
    return max(len(indents) - 1, 0)


def parameter_count(code: str) -> int:
    """Number of parameters in a unit's first brackets, approximately."""
    first = _PARAMETERS.search(code[:2000])
    if first is None or not first[1].strip():
        return 0
    flat = re.sub(r"\([^()]*\)|\[[^\[\]]*\]|<[^<>]*>", "", first[1]).strip().rstrip(",")
    return flat.count(",") + 1
