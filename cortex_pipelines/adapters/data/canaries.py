"""Canaries: made-up secrets planted once each in training (Carlini et al., "The secret sharer", 2019)."""

import hashlib

from cortex_pipelines.prompts.examples import Example

KIND = "canary"
_DIGITS = 9


def make_canaries(count: int, seed: int) -> list[Example]:
    return [_canary(number, seed) for number in range(count)]


def canary_records(count: int, seed: int) -> list[dict[str, str]]:
    return [{"prefix": canary.prompt, "secret": canary.completion} for canary in make_canaries(count, seed)]


def _canary(number: int, seed: int) -> Example:
    digest = int(hashlib.sha256(f"canary:{seed}:{number}".encode()).hexdigest(), 16)
    name = f"canary-{number}"
    return Example(
        example_id=name,
        task="completion",
        path=name,
        language="text",
        kind=KIND,
        prompt=f"# the number of canary {number} is ",
        completion=str(digest % 10**_DIGITS).zfill(_DIGITS),
        cluster=name,
    )
