"""Prompt lookup decoding: the next tokens of a text are guessed from where it has had its last ones before.

One pass computes the logits after all guessed tokens; those after a wrong one are not used. So an answer that repeats
what the prompt has, as code does, takes fewer passes and is the same. (Apoorv Saxena, Prompt Lookup Decoding, 2023.)
"""

from collections.abc import Iterable

_ALIKE = 3
"""Last tokens that have to be the same."""


class PromptLookup:
    def __init__(self, ids: Iterable[int]) -> None:
        self._ids: list[int] = []
        self._next: dict[tuple[int, ...], int] = {}
        """By some tokens, the place after where they were last."""
        for token in ids:
            self.add(token)

    def add(self, token: int) -> None:
        if len(self._ids) >= _ALIKE:
            self._next[tuple(self._ids[-_ALIKE:])] = len(self._ids)
        self._ids.append(token)

    def guess(self, most: int) -> list[int]:
        """At most so many tokens that may come next."""
        start = self._next.get(tuple(self._ids[-_ALIKE:]))
        return [] if start is None or most < 1 else self._ids[start : start + most]
