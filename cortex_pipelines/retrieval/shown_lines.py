"""Preview lines of a search hit."""

from cortex_pipelines.retrieval.search import SearchHit
from cortex_pipelines.words import folded_words

_SHOWN_LINES, _SHOWN_WIDTH = 2, 110


def shown_lines(result: SearchHit, text: str | None, words: set[str]) -> list[tuple[int, str]]:
    """The line that names a hit and the one with most words of the query; empty without its text."""
    lines = (text or "").split("\n")
    numbers = [n for n in range(result.start_line, min(result.end_line, len(lines)) + 1) if lines[n - 1].strip()]
    if not numbers:
        return []
    last = result.name.rpartition(".")[2]
    name_line = next(
        (n for n in numbers if last and last in lines[n - 1] and not lines[n - 1].lstrip().startswith("@")), 0
    )
    best = max(numbers, key=lambda n: (len(words & set(folded_words(lines[n - 1]))), n == name_line))
    numbers = sorted({name_line or numbers[0], best})[:_SHOWN_LINES]
    return [(n, lines[n - 1].rstrip().expandtabs(4)[:_SHOWN_WIDTH]) for n in numbers]
