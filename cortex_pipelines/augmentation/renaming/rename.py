"""Rename the local variables of a unit without changing its behaviour."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cortex_pipelines.augmentation.node_table import split_words
from cortex_pipelines.augmentation.python_code import header_for
from cortex_pipelines.augmentation.renaming.block_scopes import block_locals
from cortex_pipelines.augmentation.renaming.python_equivalence import NotEquivalentError, check_equivalent
from cortex_pipelines.augmentation.renaming.python_scopes import LocalVariable, python_locals
from cortex_pipelines.augmentation.seeding import choose
from cortex_pipelines.augmentation.snippets import Edit, Snippet, applied, parse_unit

# Names that a person could give to anything, reserved in none of the six languages; none beside
# which a text looks like a secret.
_FIRST = sorted(split_words("current given inner known last local main new next other prior raw shown single whole"))
_SECOND = sorted(
    split_words(
        "amount batch bound buffer cell chunk datum detail element entry group handle index item "
        "label level mark member node note offset pair part piece place point portion record "
        "sample segment slot span state step target unit value"
    )
)
_CUSTOMARY = re.compile(r"[ijk]|ok|ex|.*err(?:or)?\d*|ctx|self|cls|this|req|res", re.IGNORECASE)
"""Names that everybody gives to the same things: no other name would be written for them."""
_WORD = re.compile(r"\w+")
_SNAKE = ("python", "rust")


@dataclass(frozen=True)
class RenamedUnit:
    code: str
    renames: tuple[tuple[str, str], ...]


def rename_locals(code: str, language: str, kind: str, path: str, *seed: object) -> RenamedUnit | None:
    """None if nothing can safely be renamed."""
    snippet = parse_unit(code.encode(), language, kind, path)
    local_variables = [] if snippet is None else locals_of(snippet, kind)
    variables = [variable for variable in local_variables if not _CUSTOMARY.fullmatch(variable.name)]
    if snippet is None or not variables:
        return None
    # A new name that stands nowhere in the unit, not even in a comment, can capture nothing.
    used_names = set(_WORD.findall(code))
    renames = []
    for variable in variables:
        new = next(name for name in _candidates(variable.name, language, seed) if name not in used_names)
        used_names.add(new)
        renames.append((variable, new))
    changed = apply_renames(snippet.code, renames)
    if not _is_sound(snippet, changed):
        return None
    return RenamedUnit(changed.decode(), tuple((variable.name, new) for variable, new in renames))


def apply_renames(code: bytes, renames: list[tuple[LocalVariable, str]]) -> bytes:
    return applied(code, [Edit(*span, new) for variable, new in renames for span in variable.places])


def locals_of(snippet: Snippet, kind: str) -> list[LocalVariable]:
    if kind not in ("function", "method"):
        return []
    find = python_locals if snippet.language == "python" else block_locals
    return sorted(find(snippet), key=lambda variable: variable.places)


def _candidates(old: str, language: str, seed: tuple[object, ...]) -> Iterator[str]:
    for attempt in range(1000):
        words = [choose(_SECOND, *seed, old, attempt, "second")]
        if attempt >= 3 or "_" in old.strip("_") or any(c.isupper() for c in old[1:]):
            words.insert(0, choose(_FIRST, *seed, old, attempt, "first"))
        if attempt >= 100:
            words.append(f"n{attempt}")
        if old.isupper() and len(old) > 1:
            yield "_".join(words).upper()
        elif language in _SNAKE:
            yield "_".join(words)
        else:
            yield words[0] + "".join(word.capitalize() for word in words[1:])


def _is_sound(snippet: Snippet, changed: bytes) -> bool:
    other = snippet.with_code(changed)
    kinds = [kind for kind, _ in snippet.tokens]
    if other.errors or kinds != [kind for kind, _ in other.tokens]:
        return False
    if snippet.language != "python":
        return True
    header = header_for(list(snippet.nodes()), snippet.prefix)
    try:
        check_equivalent((header + snippet.code).decode(), (header + changed).decode())
    except NotEquivalentError:
        return False
    return True
