"""Every declared format can fire: values drawn from its own pattern are found in a line of code."""

import random
import re
import string
from typing import Any

import pytest

from cortex_pipelines.privacy.detect.scanning import spans_of
from cortex_pipelines.privacy.detect.tokens.formats import FORMATS, SHAPES, TokenFormat
from cortex_pipelines.privacy.settings import PrivacySettings

parser = re._parser  # type: ignore[attr-defined]
_WORD = string.ascii_letters + string.digits + "_"


def random_match(pattern: re.Pattern[str], draw: random.Random) -> str:
    """A string that the pattern matches, its characters drawn evenly."""
    return _random_parts(parser.parse(pattern.pattern, pattern.flags), draw)


def _random_parts(parts: Any, draw: random.Random) -> str:
    return "".join(_random_part(str(op), value, draw) for op, value in parts)


def _random_part(op: str, value: Any, draw: random.Random) -> str:
    if op == "LITERAL":
        return chr(value)
    if op == "IN":
        return draw.choice(sorted({c for kind, item in value for c in _set(str(kind), item)}))
    if op in ("MAX_REPEAT", "MIN_REPEAT"):
        low, high, repeated = value
        return "".join(_random_parts(repeated, draw) for _ in range(draw.randint(low, min(high, low + 8))))
    if op == "SUBPATTERN":
        return _random_parts(value[3], draw)
    if op == "BRANCH":
        return _random_parts(draw.choice(value[1]), draw)
    if op == "NOT_LITERAL":
        return "q"
    assert op in ("ASSERT", "ASSERT_NOT", "AT"), op
    return ""


def _set(kind: str, item: Any) -> str:
    if kind == "LITERAL":
        return chr(item)
    if kind == "RANGE":
        return "".join(map(chr, range(item[0], item[1] + 1)))
    assert kind == "CATEGORY", kind
    characters = {"CATEGORY_WORD": _WORD, "CATEGORY_DIGIT": string.digits, "CATEGORY_NOT_SPACE": _WORD}
    return characters[str(item)]


@pytest.mark.parametrize("declared", FORMATS, ids=lambda f: f"{f.rule}:{f.starts[:1]}{f.inside}")
def test_values_of_a_format_are_found(declared: TokenFormat, settings: PrivacySettings) -> None:
    draw = random.Random(declared.rule)
    hits = 0
    for _ in range(20):
        line = f'x = "{random_match(declared.pattern, draw)}"'
        hits += any(span.category == "secret" for span in spans_of(line, "a.py", settings))
    if declared.rule == "json-web-token":  # random bytes are not JSON; see the test of tokens
        return
    # a check for a look of chance passes over a few drawn values
    assert hits >= 10


@pytest.mark.parametrize("provider", sorted(SHAPES))
def test_a_providers_shape_is_found_by_its_name(provider: str, settings: PrivacySettings) -> None:
    draw = random.Random(provider)
    hits = 0
    for _ in range(20):
        line = f"{provider}_value = '{random_match(SHAPES[provider], draw)}'"
        hits += bool(spans_of(line, "a.py", settings))
    assert hits >= 12
