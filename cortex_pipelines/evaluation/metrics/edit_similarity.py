"""Edit similarity of a completion and the reference."""


def edit_similarity(output: str, expected: str) -> float:
    """1 minus Levenshtein distance over the longer length, in characters, without surrounding white space."""
    output, expected = output.strip(), expected.strip()
    longest = max(len(output), len(expected))
    return 1.0 if not longest else 1 - edit_distance(output, expected) / longest


def edit_distance(first: str, second: str) -> int:
    previous = list(range(len(second) + 1))
    for row, first_char in enumerate(first, 1):
        current = [row]
        for column, second_char in enumerate(second, 1):
            current.append(
                min(previous[column] + 1, current[-1] + 1, previous[column - 1] + (first_char != second_char))
            )
        previous = current
    return previous[-1]
