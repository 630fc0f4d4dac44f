"""Naming candidates: predict a name that is masked throughout.

Masking covers whole words in code, comments and strings. An unmasked comment or message would reveal the answer; a
name that something else is called by as well, such as a package or a global, is not asked for.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

import polars as pl
from tree_sitter import Node

from cortex_pipelines.augmentation.seeding import draw
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.unit_text import (
    LINE_COMMENTS,
    FileKey,
    enclosing_headers,
    in_word,
    rows_of_units,
    text_hashes,
)
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.syntax.grammars import grammar_for, parse

_FUNCTIONS = ("function", "method")
_TYPES = ("class", "struct", "trait", "interface", "enum")
_DECLARATIONS = ("variable", "constant")
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_WORD = re.compile(r"[\w$]+")
NAMED = (*_FUNCTIONS, *_TYPES, *_DECLARATIONS)
"""Kinds of units whose name is predicted."""
_LOADS = re.compile(rb"(?:await\s+)?(?:require|import)\s*\(")
_USES = 5
"""Maximum number of lines shown that use a declared name; its value alone does not reveal it."""
_LONGEST_USE = 400
_LOCAL, _NAME_COLUMNS = "local_names", ("name_kind", "prompt", "completion")
LOCAL_NAMES = pl.Schema([("unit_id", pl.String()), (_LOCAL, pl.List(pl.String))])
COLUMNS = (
    *("unit_id", "kind", "name", "code", "language", "source", "path", "context", "indent"),
    *("start_byte", "end_byte", "body_start_byte"),
)


def unit_name(unit: Mapping[str, Any], settings: DatasetSettings) -> str | None:
    """The unit's name if worth learning: no dunder, constructor, ``init`` of Go, default export, single letter or
    signature of an overload.
    """
    name = unit["name"]
    if unit["kind"] not in NAMED or (unit["kind"] == "function" and unit["body_start_byte"] is None):
        return None
    enclosing = re.findall(r"\w+", unit["context"])
    is_constructor = unit["kind"] == "method" and name in (*enclosing, "constructor")
    is_unnamed = unit["kind"] in _FUNCTIONS and name == "default"
    is_fixed = unit["language"] == "go" and name == "init"
    return None if is_constructor or is_unnamed or is_fixed or not _is_meaningful(name, settings) else str(name)


def variable_names(unit: Mapping[str, Any], local_names: Iterable[str], settings: DatasetSettings) -> list[str]:
    """Local variables of a unit to predict, drawn by hash, each name once."""
    if unit["kind"] not in _FUNCTIONS or len(unit["code"].encode()) > settings.max_prompt_bytes:
        return []
    meaningful = sorted({name for name in local_names if _is_meaningful(name, settings)})
    meaningful.sort(key=lambda name: draw(settings.seed, unit["unit_id"], name))
    return meaningful[: settings.variables_per_unit]


def naming_example(
    unit: Mapping[str, Any], kind: str, name: str, settings: DatasetSettings, uses: Iterable[str] = ()
) -> str | None:
    """Prompt for a name, of a kind of unit or of a variable; None if it is too long or contains the answer."""
    comment = LINE_COMMENTS[unit["language"]]
    lines = [*enclosing_headers(unit), unit["indent"] + unit["code"].rstrip()]
    if use_lines := list(uses):
        lines += ["", f"{comment} Used in:", *use_lines]
    code = "\n".join(lines)
    if settings.mask in code or _names_others(name, kind, code, unit):
        return None
    hidden = masked(code, name, settings.mask)
    article = "an" if kind[0] in "aeiou" else "a"
    question = f"{comment} {settings.mask} is {article} {kind}. Its name:\n"
    prompt = f"{hidden}\n\n{question}"
    reveals_name = masked(question, name, "") != question
    too_long = len(prompt.encode()) > settings.max_prompt_bytes
    return None if too_long or reveals_name or hidden == code else prompt


_OWN = frozenset({"self", "Self", "cls", "this", "super", "crate", "exports"})
_RECEIVER = re.compile(r"\s*func \((\w+)")


def _names_others(name: str, kind: str, code: str, unit: Mapping[str, Any]) -> bool:
    """Whether something else has that name: a member of another object, or an object or package whose members are used,
    or a macro.

    ``code``: all that is shown.
    """
    own_names = {*_OWN, *_WORD.findall(unit["context"]), *_RECEIVER.findall(unit["code"])}
    occurrences = re.finditer(
        rf"(?:([\w$]+|[)\]])\s*(?:\?\.|\.|::|->|#))?(?<![\w$]){re.escape(name)}(?![\w$])(\s*(?:\.|::)\w)?", code
    )
    is_macro = unit["language"] == "rust" and re.search(rf"(?<![\w$]){re.escape(name)}!(?!=)", code)
    return bool(is_macro) or any(
        (occurrence[1] is not None and occurrence[1] not in own_names)
        or (occurrence[2] is not None and kind in _FUNCTIONS)
        for occurrence in occurrences
    )


def naming_candidates(
    units: pl.DataFrame,
    local_names: pl.DataFrame,
    texts: Mapping[FileKey, bytes],
    settings: DatasetSettings,
    cache: RowCache | None = None,
) -> pl.DataFrame:
    """One row per name to predict.

    Returns columns ``unit_id``, ``name_kind``, ``prompt`` and ``completion``. ``units``: units with their layout
    (``unit_text.with_layout``). ``local_names``: columns ``unit_id`` and ``local_names`` (``LOCAL_NAMES``): names of
    the local variables of units; missing units have none.
    """
    local = units.select("unit_id").join(local_names, on="unit_id", how="left", maintain_order="left")
    inputs = units.select(
        *COLUMNS,
        local[_LOCAL].fill_null([]),
        pl.when(pl.col("kind").is_in(_DECLARATIONS)).then(text_hashes(units, texts)),
    )
    row_of = partial(_naming_rows, texts=texts, settings=settings)
    schema = dict.fromkeys(_NAME_COLUMNS, pl.List(pl.String))
    with_names = units.select("unit_id").hstack(rows_of_units(cache, "names", inputs, row_of, schema))
    return with_names.filter(pl.col(_NAME_COLUMNS[0]).list.len() > 0).explode(_NAME_COLUMNS)


def is_repeated_name(candidates: pl.DataFrame, settings: DatasetSettings) -> pl.Series:
    """Whether a name is asked for by more usable rows (without ``not_made``) than ``examples_per_name``; which of them
    stay is drawn.
    """
    rows = candidates.select("unit_id", "origin", "completion").iter_rows()
    draws = pl.Series("draw", [draw(settings.seed, "name", *row) for row in rows], dtype=pl.UInt64)
    rank = pl.col("draw").rank("ordinal").over("language", "kind", "completion", pl.col("not_made").is_null())
    return candidates.with_columns(draws).select(
        (pl.col("not_made").is_null() & (rank > settings.examples_per_name)).alias("is_repeated_name")
    )["is_repeated_name"]


def local_names(renamed: pl.DataFrame) -> pl.DataFrame:
    """Names of the local variables of units; what still stands in a renamed unit is the name of something else too."""
    rows = [
        (unit, [name for name, _, _ in (rename.partition("=") for rename in renames) if name not in words])
        for unit, code, renames in renamed.select("unit_id", "renamed_code", "renames").iter_rows()
        for words in [{*_WORD.findall(code)}]
    ]
    names = pl.DataFrame(rows, schema=LOCAL_NAMES, orient="row")
    return names.group_by("unit_id", maintain_order=True).agg(pl.col(_LOCAL).explode(empty_as_null=False))


def train_names(units: pl.DataFrame, renamed: pl.DataFrame) -> pl.DataFrame:
    """All names declared in train, whether or not an example predicts them.

    Returns columns ``kind``, ``language`` and ``name``; a local variable is a ``variable``. ``units``: units of the
    data sets with their ``split``.
    """
    train = units.filter((pl.col("split") == "train") & pl.col("kind").is_in(NAMED))
    local = train.join(local_names(renamed), on="unit_id").select(
        pl.lit("variable").alias("kind"), "language", pl.col("local_names").alias("name")
    )
    return pl.concat([train.select("kind", "language", "name"), local.explode("name")])


def masked(text: str, name: str, mask: str) -> str:
    """Mask every whole-word occurrence of a name.

    Linear in the text; a regular expression for each name would have to be compiled for each.
    """
    segments = text.split(name)
    output = [segments[0]]
    last = len(segments) - 2
    for index, (before, after) in enumerate(pairwise(segments)):
        char_before = before[-1:] or (name[-1] if index else "")
        char_after = after[:1] or (name[0] if index < last else "")
        is_whole_word = not in_word(char_before) and not in_word(char_after)
        output += [mask if is_whole_word else name, after]
    return "".join(output)


def _naming_rows(
    unit: Mapping[str, Any], texts: Mapping[FileKey, bytes], settings: DatasetSettings
) -> tuple[list[str], list[str], list[str]]:
    uses: list[str] = []
    if unit["kind"] in _DECLARATIONS:
        text = texts.get((unit["source"], unit["path"]), b"")
        code = _without_prose(text, unit["language"], unit["path"])
        uses = uses_of(unit["name"], code, unit["start_byte"], unit["end_byte"])
    kinds, prompts, names = [], [], []
    own = unit_name(unit, settings)
    targets = [(unit["kind"], own)] if own else []
    for kind, name in targets + [("variable", name) for name in variable_names(unit, unit[_LOCAL], settings)]:
        prompt = naming_example(unit, kind, name, settings, uses)
        if prompt is not None:
            kinds.append(kind)
            prompts.append(prompt)
            names.append(name)
    return kinds, prompts, names


@lru_cache(maxsize=4)
def _without_prose(text: bytes, language: str, path: str) -> bytes:
    """A file with imports, docstrings and comments on lines of their own blank.

    In a path or in prose, a name is a word like any other.
    """
    blank, pending = bytearray(text), [parse(text, grammar_for(language, path)).root_node]
    while pending:
        node = pending.pop()
        is_docstring = node.type == "expression_statement" and [each.type for each in node.children] == ["string"]
        begins_line = not text[text.rfind(b"\n", 0, node.start_byte) + 1 : node.start_byte].strip()
        if is_docstring or _is_import(node, text) or (node.type.endswith("comment") and begins_line):
            blank[node.start_byte : node.end_byte] = re.sub(rb"[^\r\n]", b" ", node.text or b"")
        else:
            pending += node.children
    return bytes(blank)


def _is_import(node: Node, text: bytes) -> bool:
    if node.type == "export_statement":
        return node.child_by_field_name("source") is not None
    if node.type == "mod_item":
        return node.child_by_field_name("body") is None
    if node.type == "variable_declarator":
        value = node.child_by_field_name("value")
        return value is not None and _LOADS.match(text, value.start_byte) is not None
    return node.is_named and node.type.startswith(("import_", "use_declaration", "extern_crate"))


def uses_of(name: str, text: bytes, start: int, end: int) -> list[str]:
    """First lines that contain a name as a whole word, distinct and stripped.

    Stops as soon as enough lines are found.
    """
    lines: dict[str, None] = {}
    needle = name.encode()
    position = text.find(needle) if needle else -1
    while position >= 0 and len(lines) < _USES:
        first = text.rfind(b"\n", 0, position) + 1
        first = text.rfind(b"\r", first, position) + 1 or first
        last = text.find(b"\n", position) + 1 or len(text)
        carriage = text.find(b"\r", position, last) + 1
        if carriage and text[carriage - 1 : carriage + 1] != b"\r\n":
            last = carriage
        outside = last <= start or first >= end
        if outside and last - first <= _LONGEST_USE:
            line = text[first:last].decode("utf-8", "replace").strip()
            if name in _WORD.findall(line):
                lines[line] = None
        position = text.find(needle, last)
    return list(lines)


def _is_meaningful(name: str, settings: DatasetSettings) -> bool:
    is_special = name == "main" or (name.startswith("__") and name.endswith("__"))
    return len(name) >= settings.min_name_length and not is_special and _IDENTIFIER.fullmatch(name) is not None


_STYLES = (
    ("UPPER_CASE", re.compile(r"_*[A-Z][A-Z0-9]*(?:_+[A-Z0-9]+)*_*")),
    ("lower", re.compile(r"_*[a-z][a-z0-9]*_*")),
    ("snake_case", re.compile(r"_*[a-z][a-z0-9]*(?:_+[a-z0-9]+)+_*")),
    ("camelCase", re.compile(r"[_$]*[a-z][a-z0-9]*[A-Z][A-Za-z0-9]*_*")),
    ("PascalCase", re.compile(r"_*[A-Z][A-Za-z0-9]*_*")),
)
_GROUP = ("kind", "language")
CONVENTIONS = pl.Schema(
    {"kind": pl.String, "language": pl.String, "convention": pl.String, "share": pl.Float64, "names": pl.Int64}
)


def style_of(name: str) -> str:
    """Case style of a name: ``lower`` (one word), ``snake_case``, ``camelCase``, and others."""
    return next((style for style, pattern in _STYLES if pattern.fullmatch(name)), "other")


def conventions(names: pl.DataFrame) -> pl.DataFrame:
    """Share of each naming style by kind and language.

    A single lower-case word fits both ``snake_case`` and ``camelCase``, and counts for the more frequent one of its
    kind and language; as ``lower`` on a tie. Returns columns ``kind``, ``language``, ``convention``, ``share`` (0 to
    1, of the names of that kind and language) and ``names``, most frequent first.
    ``names``: columns ``kind``, ``language`` and ``name``.
    """
    distinct_names = names.unique().sort("kind", "language", "name")
    styles = [style_of(name) for name in distinct_names["name"]]
    style = pl.col("style")
    snake, camel = ((style == convention).sum().over(_GROUP) for convention in ("snake_case", "camelCase"))
    word = (
        pl.when(snake > camel).then(pl.lit("snake_case")).when(camel > snake).then(pl.lit("camelCase")).otherwise(style)
    )
    styled = distinct_names.with_columns(pl.Series("style", styles, dtype=pl.String)).with_columns(
        pl.when(style == "lower").then(word).otherwise(style).alias("convention")
    )
    counts = styled.group_by(*_GROUP, "convention").agg(pl.len().cast(pl.Int64).alias("names"))
    with_shares = counts.with_columns((pl.col("names") / pl.col("names").sum().over(_GROUP)).alias("share"))
    in_order = with_shares.sort(*_GROUP, "names", "convention", descending=[False, False, True, False])
    return in_order.select(list(CONVENTIONS)).cast(CONVENTIONS)
