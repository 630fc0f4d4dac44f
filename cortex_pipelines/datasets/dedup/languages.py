import re

_FEATURES = {
    "python": r"^\s*(?:async )?def \w+\(.*\).*:|^\s*(?:from \S+ )?import \w+|^\s*(?:el)?if .*:\s*$"
    r"|^\s*for .* in .*:\s*$|^\s*class \w+.*:\s*$|\bself\.\w|\bNone\b|\belif\b"
    r"|^\s*return\b(?!.*[;{])",
    "javascript": r"\bfunction\b|[(=,] ?(?:\w+|\([\w, ]*\)) =>|===|\btypeof\b|\bthis\.\w|"
    r"\b(?:const|let|var) [\w{\[]|\bundefined\b|\bnew Map\b",
    "typescript": r":\s*(?:string|number|boolean|unknown|any|void)\b|^\s*(?:export )?interface \w+"
    r"|\bas (?:const|string|number|any)\b|^\s*(?:export )?type \w+ =|\bPromise<",
    "java": r"\b(?:public|private|protected) (?:static |final )*[\w<>\[\]]+ \w+\s*[(=;]"
    r"|\bnew [A-Z]\w*(?:<.*?>)?\(|^\s*import [\w.]+;|\bString\b|\bfinal \w|\bthrows \w",
    "go": r"\bfunc\b[ (]|:=|\bnil\b|^package \w+|\bmap\[\w+\]|\berr != nil\b|\bchan \w",
    "rust": r"\bfn \w+|\blet mut\b|&(?:mut |self|str)|\bimpl\b|::\w|\bmatch .*\{|-> \w.*\{|\w!\(",
}
_PATTERNS = {name: re.compile(feature, re.MULTILINE) for name, feature in _FEATURES.items()}
_READ = 4000


def guessed_language(text: str) -> str | None:
    """Language with the most matching features; None if no feature matches. Formatters change none of the features."""
    counts = {name: len(pattern.findall(text[:_READ])) for name, pattern in _PATTERNS.items()}
    if counts["typescript"]:
        counts["typescript"] += counts["javascript"]
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else None
