"""Word sets for node types and keywords."""


def split_words(text: str) -> frozenset[str]:
    return frozenset(text.split())
