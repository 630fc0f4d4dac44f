"""Edit similarity of a completion and the reference."""


def edit_similarity(written: str, expected: str) -> float:
    """1 minus Levenshtein distance over the longer length, in characters.

    Leading and trailing white space is ignored; 1 is an exact match, also for two empty texts.
    """
    written, expected = written.strip(), expected.strip()
    longest = max(len(written), len(expected))
    return 1.0 if not longest else 1 - edit_distance(written, expected) / longest


def edit_distance(first: str, second: str) -> int:
    """Levenshtein distance in characters."""
    before = list(range(len(second) + 1))
    for row, left in enumerate(first, 1):
        now = [row]
        for column, right in enumerate(second, 1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (left != right)))
        before = now
    return before[-1]
