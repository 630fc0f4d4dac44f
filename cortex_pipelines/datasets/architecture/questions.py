"""Questions that a person asks about a project: where does this belong, who owns it, what does it accept.

Each is decided by its prompt. A place is the one whose files have most words in common with what is asked about, and
the prompt lists the places; what a function accepts is told by its body, which the prompt shows without parameters.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from posixpath import dirname
from typing import Any

from cortex_pipelines.augmentation.seeding import draw
from cortex_pipelines.datasets.answerable import ProjectWords, language_names
from cortex_pipelines.datasets.settings import ArchitectureExampleSettings
from cortex_pipelines.datasets.tasks.documentation import first_paragraph
from cortex_pipelines.datasets.unit_text import unit_excerpt
from cortex_pipelines.extraction.one_line import on_one_line

Row = dict[str, Any]
UNIT_COLUMNS = (
    *("unit_id", "source", "path", "language", "kind", "name", "qualified_name", "signature", "docstring", "code"),
    *("context", "start_line", "end_line", "start_byte", "end_byte", "body_start_byte"),
    *("has_error", "generated"),
)
"""Columns of ANNOTATED_UNITS that questions are made from."""
_PLACED = ("function", "class", "struct", "trait", "interface", "enum")
_CALLED = ("function", "method")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NAME = re.compile(r"[^\W\d]\w*")
_PACKAGE = re.compile(r"\w+(?=\.\w)")
_STEM, _FEWEST_LETTERS = 5, 3
_NAMES_OF_A_FILE = 4
_MOST_OF_A_PACKAGE = 12
_TEST = re.compile(r"(?i)test|_*(?:main|init)$")
_WITH_DEFAULTS, _DEFAULT = ("python", "javascript", "typescript"), re.compile(r"(?<![=!<>])=(?![=>])([^,:}]*)")
"""Languages whose parameters may have a default value, and that value."""
_RECEIVER = re.compile(r"^(?:&\s*(?:mut\s+)?)?(?:mut\s+)?(?:self|cls|this)\b(?:\s*:[^,]*)?(?:,\s*|$)")


def questions(
    units: Sequence[Row], facts: Sequence[Row], words: ProjectWords, settings: ArchitectureExampleSettings, seed: int
) -> Iterator[Row]:
    """Questions with ``prompt``, ``completion``, ``kind`` and the unit asked about as ``fact``.

    ``units``: rows with ``UNIT_COLUMNS`` and their layout, in order of path and place; ``facts``: rows of
    ARCHITECTURE_FACTS.
    """
    usable = [unit for unit in units if not (unit["has_error"] or unit["generated"] or _TEST.match(unit["name"]))]
    places = [unit for unit in usable if unit["kind"] in _PLACED and not unit["context"]]
    owners = {(fact["source"], fact["path"]): fact["boundary"] for fact in facts if fact["boundary"]}
    folders: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    packages: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for unit in places:
        folders[_folder(unit)][unit["path"]].append(unit)
        if owner := owners.get((unit["source"], unit["path"])):
            packages[unit["source"]][owner].append(unit)
    for unit in places:
        yield from _placement(unit, folders[_folder(unit)], unit["path"], "placement", settings, seed)
    for source in packages.values():
        for owner, owned in source.items():
            drawn = sorted(owned, key=lambda unit: draw(seed, "owner", unit["unit_id"]))
            asked = (row for unit in drawn for row in _placement(unit, source, owner, "owner", settings, seed))
            yield from islice(asked, _MOST_OF_A_PACKAGE)
    for unit in usable:
        yield from _interface(unit, words)


def _folder(unit: Row) -> str:
    return f"{unit['source']}:{dirname(unit['path'])}"


def _placement(
    unit: Row,
    places: Mapping[str, Sequence[Row]],
    answer: str,
    kind: str,
    settings: ArchitectureExampleSettings,
    seed: int,
) -> Iterator[Row]:
    """A question whose answer has most words in common with the unit, and clearly more than any other place."""
    if not 3 - (kind == "owner") <= len(places) <= settings.max_listed:
        return
    text = first_paragraph(unit["docstring"] or "")
    most = settings.max_listed if kind == "owner" else _NAMES_OF_A_FILE
    listing = {}
    for place, units in sorted(places.items()):
        names = {other["name"] for other in units} - {unit["name"]}
        listing[place] = sorted(sorted(names, key=lambda name: draw(seed, "listed", name))[:most])
    if [place for place, names in listing.items() if not names] == [answer]:
        return  # that it alone declares nothing gives it away
    stems_of = {place: _stems(f"{place} {' '.join(names)}") for place, names in listing.items()}
    common = Counter(stem for stems in stems_of.values() for stem in stems)
    telling = {stem for stem in _stems(f"{unit['signature']} {text}") if common[stem] <= len(places) / 2}
    scores = {place: len(telling & stems) for place, stems in stems_of.items()}
    others = [score for place, score in scores.items() if place != answer]
    if len(text.split()) < settings.min_description_words or scores[answer] < max(others, default=0) + 1:
        return
    title, question = _ASKED[kind]
    lines = [f"{place}: {', '.join(names)}" if names else place for place, names in listing.items()]
    prompt = "\n".join([title, *lines, f"New: {unit['signature']}", text, question])
    yield _row(unit, kind, prompt, answer)


_ASKED = {
    "placement": ("Files and what they declare:", "In which file does it belong?"),
    "owner": ("Packages and what they declare:", "Which package owns it?"),
}


def _stems(text: str) -> set[str]:
    words = (word.lower() for word in _WORD.findall(text))
    return {word[:_STEM] for word in words if len(word) >= _FEWEST_LETTERS}


def _interface(unit: Row, words: ProjectWords) -> Iterator[Row]:
    """What a function accepts, asked of its code without parameters."""
    start = unit["body_start_byte"]
    if unit["kind"] not in _CALLED or start is None or unit["name"].startswith("_"):
        return
    code: str = unit["code"]
    body_at = len(code.encode()[: start - unit["start_byte"]].decode("utf-8", "replace"))
    span = parameter_span(code[:body_at], unit["name"])
    if span is None:
        return
    first, last = span
    parameters = _RECEIVER.sub("", on_one_line(code[first:last]).rstrip(","))
    own = parameters.split(",")
    shown = code[:first] + "..." + code[last:]
    shown_names, uses = {*_NAME.findall(shown)}, Counter(_NAME.findall(code))
    visible = shown_names | language_names(unit["language"])
    unknown = {*_NAME.findall(parameters)} - visible
    if not parameters or not all(words.stands_outside(name, uses) for name in unknown):
        return
    stems = _stems(" ".join(shown_names))
    types = unknown.difference(_PACKAGE.findall(parameters))
    if any(stems.isdisjoint(_stems(name)) and not words.is_custom(name, code) for name in types):
        return  # neither does the code speak of the type, nor does the project often
    defaults = _DEFAULT.findall(parameters) if unit["language"] in _WITH_DEFAULTS else ()
    if not visible.issuperset(name for default in defaults for name in _NAME.findall(default)):
        return  # not told by the body, such as what a framework passes
    if not all(name in shown_names for part in own for name in _NAME.findall(part)[:1]):
        return
    name = unit["qualified_name"] or unit["name"]
    prompt = f"{unit_excerpt(unit, shown)}\n\nWhat does {name} accept?"
    yield _row(unit, "interface", prompt, parameters)


def parameter_span(head: str, name: str) -> tuple[int, int] | None:
    """Span between the brackets after the name of a function and its type parameters."""
    match = re.search(rf"(?<![\w$]){re.escape(name)}(?=[(\[<])", head)
    after = match.end() if match else head.find(name) + len(name)
    if head[after : after + 1] in ("[", "<"):
        after = _closing(head, after)
    opened = head.find("(", after)
    closed = _closing(head, opened) if opened >= 0 else len(head)
    return (opened + 1, closed) if closed < len(head) else None


def _closing(head: str, opened: int) -> int:
    """Where the bracket closes that opens at ``opened``; the length of the text if nowhere."""
    opening, closing = ("([{<", ")]}>") if head[opened] == "<" else ("([{", ")]}")
    depth = 0
    for position in range(opened, len(head)):
        is_arrow = head[position - 1 : position + 1] in ("->", "=>")
        depth += (head[position] in opening) - (head[position] in closing and not is_arrow)
        if depth == 0:
            return position
    return len(head)


def _row(unit: Row, kind: str, prompt: str, completion: str) -> Row:
    return {
        "fact": {**unit, "fact_id": unit["unit_id"], "technology": unit["language"]},
        "kind": kind,
        "origin": "original",
        "prompt": prompt,
        "completion": completion,
        "rule": None,
        "explanation": "",
        "description_source": "docstring" if kind != "interface" else "code",
        "target": f"{kind} {unit['signature']} {unit['docstring'] or ''}",
    }
