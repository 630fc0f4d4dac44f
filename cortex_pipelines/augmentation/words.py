"""Sets of words, as node types and keywords are written down."""


def words(text: str) -> frozenset[str]:
    """The words of a text that are parted by white space."""
    return frozenset(text.split())
