"""A summary made of the sentences of what it is about (SumBasic: Nenkova, Vanderwende 2005)."""

import re
from collections import Counter
from collections.abc import Sequence
from math import fsum

from cortex_pipelines.retrieval.terms import stop_terms, terms

SENTENCES = 8
"""Of a summary of ten exchanges: less than one of each."""
_LONGEST = 300
_END = re.compile(r"(?<=[.!?])\s+|\n+")
_STOP = stop_terms()


def summarise(texts: Sequence[str], most: int = SENTENCES) -> str:
    """The sentences whose words the texts use most, each adding words that are not there yet."""
    parts = [part.strip() for text in texts for part in _END.split(text)]
    sentences = list(dict.fromkeys(part[:_LONGEST] for part in parts if part))
    words = [set(terms(sentence)) - _STOP for sentence in sentences]
    counts = Counter(term for inside in words for term in inside)
    total = max(1, counts.total())
    share = {term: count / total for term, count in counts.items()}
    remaining = [number for number, inside in enumerate(words) if inside]
    selected: list[int] = []
    while remaining and len(selected) < most:
        best = max(remaining, key=lambda n: (fsum(share[t] for t in words[n]) / len(words[n]), -n))
        remaining.remove(best)
        selected.append(best)
        for term in words[best]:
            share[term] **= 2  # what was said once is worth little more
    return "\n".join(sentences[number] for number in sorted(selected))
