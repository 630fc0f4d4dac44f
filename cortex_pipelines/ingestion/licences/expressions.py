"""Parse SPDX licence expressions and check them against an allow list."""

import re
from collections.abc import Collection, Iterable
from functools import lru_cache

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

NOT_UNDERSTOOD = "NOASSERTION"
"""SPDX's value for a stated licence that was not recognised."""

RESTRICTED = "LicenseRef-Restricted"
"""Marks extra terms that restrict the surrounding licence."""

_LONGEST = 1000
_DEEPEST = 20
_TOKENS = re.compile(r"[()]|[^\s()]+")
_NAME = re.compile(r"\b(?!AND\b|OR\b)[^\s()]+")
_FAMILY = re.compile(r"(?:-only|-or-later|\+)$")


@lru_cache(maxsize=4096)
def spdx(text: str) -> str | None:
    """The expression in canonical SPDX spelling, ``/`` as OR (as Cargo had it); None if it is not valid."""
    words = re.sub(r"(?<=\w)/(?=\w)", " OR ", text.strip())
    if len(words) > _LONGEST or words.count("(") > _DEEPEST:
        return None
    try:
        return str(canonicalize_license_expression(words))
    except (InvalidLicenseExpression, ValueError):
        return None


def families(expression: str) -> frozenset[str]:
    """Licences in an expression, without "or later" and exceptions."""
    tokens = _TOKENS.findall(expression)
    names = [
        token
        for before, token in zip(["", *tokens], tokens, strict=False)
        if token not in ("(", ")", "AND", "OR", "WITH") and before != "WITH"
    ]
    return frozenset(_FAMILY.sub("", name) for name in names)


def all_of(expressions: Iterable[str]) -> str | None:
    distinct = sorted(set(expressions))
    if NOT_UNDERSTOOD in distinct:
        return NOT_UNDERSTOOD
    if len(distinct) > 1:
        distinct = [f"({expression})" if " OR " in expression else expression for expression in distinct]
    return " AND ".join(distinct) or None


def permitted(expression: str, allowed: Collection[str]) -> bool:
    """Whether an allow list permits use under an expression.

    Of alternatives one has to be on the list, of licences that hold together all. An exception only adds permissions;
    "or any later version" counts as the version itself. Names in the list are without "-only", unless that is meant.
    """

    def value(name: re.Match[str]) -> str:
        return str(int(name[0] in allowed or _FAMILY.sub("", name[0]) in allowed))

    values = _NAME.sub(value, re.sub(r" WITH [^\s()]+", "", expression))
    while len(values) > 1:
        shorter = re.sub(r"\(([01])\)", r"\1", values)
        shorter = re.sub(r"([01]) AND ([01])", lambda pair: min(pair[1], pair[2]), shorter)
        if shorter == values:  # AND binds tighter
            shorter = re.sub(r"(?<!AND )([01]) OR ([01])(?! AND)", lambda pair: max(pair[1], pair[2]), values)
        if shorter == values:
            return False
        values = shorter
    return values == "1"
