"""Units as the mission's examples: a function with its documentation and tests, a type with its
members.

A plain view for notebooks and data sets; nothing here reads or writes files.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import polars as pl

_FUNCTIONS = ("function", "method")
_TYPES = ("class", "struct", "trait", "interface", "enum")


@dataclass(frozen=True)
class FunctionExample:
    """One function or method.

    Args:
        unit_id: The unit it is; with project, path, commit and licence it says where it comes from.
        context: Headers of what encloses it, outermost first.
        signature: From the first modifier to the body.
        implementation: Exact text of the body, without documentation; empty if there is none.
        documentation: Doc comment or docstring; None if there is none.
        tests: Code of the test cases that exercise it, closest first.
    """

    unit_id: str
    project: str
    path: str
    commit: str
    licence: str | None
    context: str
    signature: str
    implementation: str
    documentation: str | None
    tests: tuple[str, ...]


@dataclass(frozen=True)
class ClassExample:
    """One class, struct, trait, interface or enum.

    Args:
        unit_id: The unit it is; with project, path, commit and licence it says where it comes from.
        kind: Kind of unit.
        signature: From the first modifier to the body.
        documentation: Doc comment or docstring; None if there is none.
        members: Signatures of its methods and declarations, in the order of the text; those of
            Go's methods and Rust's ``impl`` blocks in the same file as well.
        code: Exact text.
        tests: Code of the test cases that exercise it, closest first.
    """

    unit_id: str
    project: str
    path: str
    commit: str
    licence: str | None
    kind: str
    signature: str
    documentation: str | None
    members: tuple[str, ...]
    code: str
    tests: tuple[str, ...]


def function_examples(units: pl.DataFrame, tests: pl.DataFrame) -> list[FunctionExample]:
    """The functions and methods among units, in order of source, path and place.

    Args:
        units: Rows of ``CODE_UNITS``.
        tests: Rows of ``TEST_CASES``.
    """
    code = dict(tests.select("unit_id", "code").iter_rows())
    wanted = units.filter(pl.col("kind").is_in(_FUNCTIONS)).sort("source", "path", "start_byte")
    return [
        FunctionExample(
            **_origin(row),
            context=row["context"],
            signature=row["signature"],
            implementation=implementation(row),
            documentation=row["docstring"],
            tests=_tests(row, code),
        )
        for row in wanted.iter_rows(named=True)
    ]


def class_examples(units: pl.DataFrame, tests: pl.DataFrame) -> list[ClassExample]:
    """The types among units, in order of source, path and place.

    Args:
        units: Rows of ``CODE_UNITS``.
        tests: Rows of ``TEST_CASES``.
    """
    code = dict(tests.select("unit_id", "code").iter_rows())
    in_order = units.sort("source", "path", "start_byte")
    members: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    kinds = ("method", "variable", "constant")
    for row in in_order.filter(pl.col("kind").is_in(kinds)).iter_rows(named=True):
        owner = row["qualified_name"].removesuffix(f".{row['name']}")
        members[row["source"], row["path"], owner].append(row["signature"])
    return [
        ClassExample(
            **_origin(row),
            kind=row["kind"],
            signature=row["signature"],
            documentation=row["docstring"],
            members=tuple(members[row["source"], row["path"], row["qualified_name"]]),
            code=row["code"],
            tests=_tests(row, code),
        )
        for row in in_order.filter(pl.col("kind").is_in(_TYPES)).iter_rows(named=True)
    ]


def implementation(row: dict[str, Any]) -> str:
    """Text of a unit's body without its documentation; empty if it has none."""
    if row["body_start_byte"] is None:
        return ""
    inside = row["body_start_byte"] - row["start_byte"]
    text: bytes = row["code"].encode()
    return text[inside:].decode(errors="replace")


def _origin(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("unit_id", "project", "path", "commit", "licence")}


def _tests(row: dict[str, Any], code: dict[str, str]) -> tuple[str, ...]:
    return tuple(code[test] for test in row["tests"] if test in code)
