"""SPDX licence expressions: one spelling of each, and whether an allow list permits one."""

import re
from collections.abc import Collection, Iterable
from functools import lru_cache

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

NOT_UNDERSTOOD = "NOASSERTION"
"""SPDX's word for a licence that is stated, but not in a way that could be understood."""

RESTRICTED = "LicenseRef-Restricted"
"""Stands for terms that take back what a licence around them grants."""

_LONGEST = 1000
_DEEPEST = 20
_TOKENS = re.compile(r"[()]|[^\s()]+")
_FAMILY = re.compile(r"(?:-only|-or-later|\+)$")


@lru_cache(maxsize=4096)
def spdx(text: str) -> str | None:
    """The expression as SPDX spells it, or None if it is none.

    Args:
        text: For example ``mit or apache-2.0``; ``/`` between names, as Cargo had it, means OR.
    """
    words = re.sub(r"(?<=\w)/(?=\w)", " OR ", text.strip())
    if len(words) > _LONGEST or words.count("(") > _DEEPEST:
        return None
    try:
        return str(canonicalize_license_expression(words))
    except (InvalidLicenseExpression, ValueError):
        return None


def families(expression: str) -> frozenset[str]:
    """Licences an expression names, of whatever version beyond it and with whatever exception."""
    tokens = _TOKENS.findall(expression)
    names = [
        token
        for before, token in zip(["", *tokens], tokens, strict=False)
        if token not in ("(", ")", "AND", "OR", "WITH") and before != "WITH"
    ]
    return frozenset(_FAMILY.sub("", name) for name in names)


def all_of(expressions: Iterable[str]) -> str | None:
    """One expression that asks for all of the given ones; None without any."""
    distinct = sorted(set(expressions))
    if NOT_UNDERSTOOD in distinct:
        return NOT_UNDERSTOOD
    if len(distinct) > 1:
        distinct = [
            f"({expression})" if " OR " in expression else expression for expression in distinct
        ]
    return " AND ".join(distinct) or None


def permitted(expression: str, allowed: Collection[str]) -> bool:
    """Whether a list of licences lets one use what is under an expression.

    Of alternatives one has to be on the list, of licences that hold together all. An exception
    only adds permissions; "or any later version" counts as the version itself.

    Args:
        expression: As ``spdx`` gives it, or ``NOASSERTION``.
        allowed: Names of licences, without "-only" and the like unless that is meant.
    """
    return _holds(_TOKENS.findall(expression), frozenset(allowed))


def _holds(tokens: list[str], allowed: frozenset[str]) -> bool:
    """Value of an expression, by two stacks; AND binds closer than OR."""
    values: list[bool] = []
    waiting: list[str] = []

    def settle(until: tuple[str, ...]) -> None:
        while waiting and waiting[-1] not in until:
            right, left = values.pop(), values.pop()
            values.append(left and right if waiting.pop() == "AND" else left or right)

    before = ""
    for word in tokens:
        if word == "(":
            waiting.append(word)
        elif word == ")":
            settle(("(",))
            waiting.pop()
        elif word in ("AND", "OR"):
            settle(("(",) if word == "OR" else ("(", "OR"))
            waiting.append(word)
        elif word != "WITH" and before != "WITH":
            values.append(word in allowed or _FAMILY.sub("", word) in allowed)
        before = word
    settle(())
    return values[-1] if values else False
