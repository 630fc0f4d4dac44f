"""Pair the files of two versions."""

from collections import Counter, defaultdict
from collections.abc import Mapping

_LEAST = 0.5  # as git's rename detection
_COMMON = 20  # a line that stands in more files than this says nothing
_LEAST_SAME_NAME = 0.3  # where only the folder is another
_TAKEN_OVER = 0.9  # a file that something else took the name of is the same if it is this alike
_SAME_PATH = 0.3  # what a path says


def pair_files(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pair files of one path, and renamed files.

    Args:
        before, after: Text by path.

    Returns:
        Pairs of paths in order. A file whose content went to another place while something else
        took its name is paired by its content.
    """
    lines = {path: _lines(text) for path, text in before.items()}
    others = {path: _lines(text) for path, text in after.items()}
    same = {path: _likeness(lines[path], others[path]) for path in before if path in after}
    firm = {path for path, like in same.items() if like >= _LEAST}
    scored = [
        (-like - 0.05 * (_name(old) == _name(new)), old, new)
        for old, new, like in _alike(
            {path: counts for path, counts in lines.items() if path not in firm},
            {path: counts for path, counts in others.items() if path not in firm},
        )
        if like >= _TAKEN_OVER or (old not in same and new not in same)
    ]
    scored += [(-like - _SAME_PATH, path, path) for path, like in same.items() if path not in firm]
    pairs = {path: path for path in firm}
    taken = set(firm)
    for _, old, new in sorted(scored):
        if old not in pairs and new not in taken:
            pairs[old] = new
            taken.add(new)
    return sorted(pairs.items())


def _lines(text: str) -> Counter[str]:
    return Counter(line for line in map(str.strip, text.split("\n")) if len(line) > 2)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _likeness(old: Counter[str], new: Counter[str]) -> float:
    total = old.total() + new.total()
    return 2 * (old & new).total() / total if total else 1.0


def _alike(
    before: Mapping[str, Counter[str]], after: Mapping[str, Counter[str]]
) -> list[tuple[str, str, float]]:
    """Pairs of similar files; only those that share rare lines are compared."""
    places: dict[str, list[str]] = defaultdict(list)
    for path, lines in after.items():
        for line in lines:
            places[line].append(path)
    pairs = []
    for path, lines in before.items():
        shared: Counter[str] = Counter()
        for line in lines:
            others = places.get(line, ())
            if len(others) <= _COMMON:
                shared.update(others)
        for candidate, _ in sorted(shared.items(), key=lambda entry: (-entry[1], entry[0]))[:10]:
            like = _likeness(lines, after[candidate])
            least = _LEAST_SAME_NAME if _name(path) == _name(candidate) else _LEAST
            if like >= least and candidate != path:
                pairs.append((path, candidate, like))
    return pairs
