"""Naming candidates: predict a name that is masked throughout.

Masking covers whole words in code, comments and strings, and attributes too. An unmasked comment or
message would reveal the answer, and masking too much removes the information.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import polars as pl

from cortex_pipelines.augmentation.seeding import draw
from cortex_pipelines.datasets.prompts.unit_text import (
    LINE_COMMENTS,
    Place,
    enclosing_headers,
    in_word,
    text_hashes,
)
from cortex_pipelines.datasets.row_cache import RowMemo
from cortex_pipelines.datasets.settings import DatasetSettings

_FUNCTIONS = ("function", "method")
_TYPES = ("class", "struct", "trait", "interface", "enum")
_DECLARATIONS = ("variable", "constant")
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_WORD = re.compile(r"[\w$]+")
NAMED = (*_FUNCTIONS, *_TYPES, *_DECLARATIONS)
"""Kinds of units whose name is asked for."""
_USES = 5
"""Lines shown that use a declared name; with its value alone nobody could tell it."""
_LONGEST_USE = 400
_LOCAL, _ASKED = "local_names", ("name_kind", "prompt", "completion")
LOCAL_NAMES = pl.Schema([("unit_id", pl.String()), (_LOCAL, pl.List(pl.String))])
COLUMNS = (
    *("unit_id", "kind", "name", "code", "language", "source", "path", "context", "indent"),
    *("start_byte", "end_byte"),
)


@dataclass(frozen=True)
class Name:
    """A name to predict.

    Args:
        kind: function, method, class, struct, ..., constant or variable.
        name: The name.
    """

    kind: str
    name: str


def unit_name(unit: Mapping[str, Any], settings: DatasetSettings) -> Name | None:
    """The unit's name if worth learning: no dunder, constructor or single letter."""
    name = unit["name"]
    if unit["kind"] not in NAMED:
        return None
    enclosing = re.findall(r"\w+", unit["context"])
    is_constructor = unit["kind"] == "method" and name in (*enclosing, "constructor")
    if is_constructor or not _is_telling(name, settings):
        return None
    return Name(unit["kind"], name)


def variable_names(
    unit: Mapping[str, Any], local_names: Iterable[str], settings: DatasetSettings
) -> list[Name]:
    """Local variables of a unit to predict, drawn by hash, each name once."""
    if unit["kind"] not in _FUNCTIONS or len(unit["code"].encode()) > settings.max_prompt_bytes:
        return []
    telling = sorted({name for name in local_names if _is_telling(name, settings)})
    telling.sort(key=lambda name: draw(settings.seed, unit["unit_id"], name))
    return [Name("variable", name) for name in telling[: settings.variables_per_unit]]


def naming_example(
    unit: Mapping[str, Any], name: Name, settings: DatasetSettings, uses: Iterable[str] = ()
) -> str | None:
    """Prompt for a name; None if it is too long or contains the answer.

    Args:
        unit: A unit with its layout.
        name: The name to ask for.
        settings: Longest prompt, and the mask.
        uses: Lines of the same file that use it.
    """
    comment = LINE_COMMENTS[unit["language"]]
    headers = enclosing_headers(unit["context"], unit["indent"], unit["language"])
    lines = [*headers, unit["indent"] + unit["code"].rstrip()]
    if shown := list(uses):
        lines += ["", f"{comment} Used in:", *shown]
    code = "\n".join(lines)
    if settings.mask in code:
        return None
    hidden = masked(code, name.name, settings.mask)
    question = f"{comment} {settings.mask} is a {name.kind}. Its name:\n"
    prompt = f"{hidden}\n\n{question}"
    tells = masked(question, name.name, "") != question
    too_long = len(prompt.encode()) > settings.max_prompt_bytes
    return None if too_long or tells or hidden == code else prompt


def naming_candidates(
    units: pl.DataFrame,
    local_names: pl.DataFrame,
    texts: Mapping[Place, bytes],
    settings: DatasetSettings,
    known: RowMemo | None = None,
) -> pl.DataFrame:
    """One row per name to predict.

    Args:
        units: Units with their layout (``unit_text.with_layout``).
        local_names: Columns ``unit_id`` and ``local_names`` (``LOCAL_NAMES``): names of the local
            variables of units; of those that are not there none is asked for.
        texts: The files of the project, for the uses of declarations.
        settings: Bounds and mask.
        known: Cached results of unchanged units.

    Returns:
        Columns ``unit_id``, ``name_kind``, ``prompt`` and ``completion``.
    """

    def make(some: pl.DataFrame) -> pl.DataFrame:
        rows = [_asked_of(unit, texts, settings) for unit in some.iter_rows(named=True)]
        return pl.DataFrame(rows, schema=dict.fromkeys(_ASKED, pl.List(pl.String)), orient="row")

    local = units.select("unit_id").join(
        local_names, on="unit_id", how="left", maintain_order="left"
    )
    inputs = units.select(
        *COLUMNS,
        local[_LOCAL].fill_null([]),
        pl.when(pl.col("kind").is_in(_DECLARATIONS)).then(text_hashes(units, texts)),
    )
    made = units.select("unit_id").hstack((known or RowMemo()).compute("names", inputs, make))
    return made.filter(pl.col(_ASKED[0]).list.len() > 0).explode(_ASKED)


def local_names(renamed: pl.DataFrame) -> pl.DataFrame:
    """Names of renamable local variables by unit: LOCAL_NAMES."""
    names = pl.element().str.split("=").list.first()
    with_names = renamed.select("unit_id", pl.col("renames").list.eval(names).alias("local_names"))
    of_all_variants = pl.col("local_names").explode(empty_as_null=False)
    return with_names.group_by("unit_id", maintain_order=True).agg(of_all_variants)


def train_names(units: pl.DataFrame, renamed: pl.DataFrame) -> pl.DataFrame:
    """All names declared in train, whether or not an example predicts them.

    Args:
        units: Units of the data sets with their ``split``.
        renamed: RENAMED_UNITS of the same project, which tell the local variables of functions.

    Returns:
        Columns ``kind``, ``language`` and ``name``; a local variable is a ``variable``.
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
    pieces = text.split(name)
    parts = [pieces[0]]
    last = len(pieces) - 2
    for at, (before, after) in enumerate(pairwise(pieces)):
        left = before[-1:] or (name[-1] if at else "")
        right = after[:1] or (name[0] if at < last else "")
        whole = not in_word(left) and not in_word(right)
        parts += [mask if whole else name, after]
    return "".join(parts)


def _asked_of(
    unit: Mapping[str, Any], texts: Mapping[Place, bytes], settings: DatasetSettings
) -> tuple[list[str], list[str], list[str]]:
    """Kinds, prompts and names of a unit's questions."""
    uses: list[str] = []
    if unit["kind"] in _DECLARATIONS:
        text = texts.get((unit["source"], unit["path"]), b"")
        uses = uses_of(unit["name"], text, unit["start_byte"], unit["end_byte"])
    kinds, prompts, names = [], [], []
    for name in _names(unit, settings):
        prompt = naming_example(unit, name, settings, uses)
        if prompt is not None:
            kinds.append(name.kind)
            prompts.append(prompt)
            names.append(name.name)
    return kinds, prompts, names


def _names(unit: Mapping[str, Any], settings: DatasetSettings) -> Iterator[Name]:
    own = unit_name(unit, settings)
    if own:
        yield own
    yield from variable_names(unit, unit[_LOCAL], settings)


def uses_of(name: str, text: bytes, start: int, end: int) -> list[str]:
    """First lines that contain a name as a whole word, distinct and stripped.

    Only lines in which the name stands are looked at, and no more than are needed.

    Args:
        name: A declared name.
        text: Its file.
        start: Byte at which the declaration begins; its own lines do not count.
        end: Byte at which it ends.
    """
    lines: dict[str, None] = {}
    wanted = name.encode()
    at = text.find(wanted) if wanted else -1
    while at >= 0 and len(lines) < _USES:
        first, last = _line_around(text, at)
        outside = last <= start or first >= end
        if outside and last - first <= _LONGEST_USE:
            line = text[first:last].decode("utf-8", "replace").strip()
            if name in _WORD.findall(line):
                lines[line] = None
        at = text.find(wanted, last)
    return list(lines)


def _line_around(text: bytes, at: int) -> tuple[int, int]:
    """Start and end of the line at a byte offset."""
    first = text.rfind(b"\n", 0, at) + 1
    first = text.rfind(b"\r", first, at) + 1 or first
    last = text.find(b"\n", at) + 1 or len(text)
    carriage = text.find(b"\r", at, last) + 1
    if carriage and text[carriage - 1 : carriage + 1] != b"\r\n":
        return first, carriage
    return first, last


def _is_telling(name: str, settings: DatasetSettings) -> bool:
    dunder = name.startswith("__") and name.endswith("__")
    return (
        len(name) >= settings.min_name_length
        and not dunder
        and name != "main"
        and _IDENTIFIER.fullmatch(name) is not None
    )
