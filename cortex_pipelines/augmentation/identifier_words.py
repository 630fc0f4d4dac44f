"""Word sets for node types and keywords."""


def split_words(text: str) -> frozenset[str]:
    """Set of the words of a text, split at white space."""
    return frozenset(text.split())
