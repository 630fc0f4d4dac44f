"""Pair the files of two versions."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from posixpath import basename

_MIN_FILE_SIMILARITY = 0.5  # as git's rename detection
_MAX_LINE_FILES = 20  # a line of more files is ignored
_MIN_FILE_SIMILARITY_SAME_NAME = 0.3  # where only the folder is another
_FILE_TAKEOVER_SIMILARITY = 0.9  # similarity from which a file whose name was taken over is the same
_SAME_PATH_BONUS = 0.3  # advantage of an equal path


def pair_files(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pair files of one path, and renamed files.

    Args:
        before, after: Text by path.

    Returns:
        Pairs of paths in order. A file whose content went to another place while something else
        took its name is paired by its content.
    """
    lines_before = {path: _lines(text) for path, text in before.items()}
    lines_after = {path: _lines(text) for path, text in after.items()}
    same_path_similarity = {
        path: _line_similarity(lines_before[path], lines_after[path]) for path in before if path in after
    }
    confident_paths = {path for path, similarity in same_path_similarity.items() if similarity >= _MIN_FILE_SIMILARITY}
    scored = [
        (-similar - 0.05 * (basename(old) == basename(new)), old, new)
        for old, new, similar in _similar_files(
            {path: counts for path, counts in lines_before.items() if path not in confident_paths},
            {path: counts for path, counts in lines_after.items() if path not in confident_paths},
        )
        if similar >= _FILE_TAKEOVER_SIMILARITY or (old not in same_path_similarity and new not in same_path_similarity)
    ]
    scored += [
        (-similar - _SAME_PATH_BONUS, path, path)
        for path, similar in same_path_similarity.items()
        if path not in confident_paths
    ]
    pairs = {path: path for path in confident_paths}
    paired_after = set(confident_paths)
    for _, old, new in sorted(scored):
        if old not in pairs and new not in paired_after:
            pairs[old] = new
            paired_after.add(new)
    return sorted(pairs.items())


def _lines(text: str) -> Counter[str]:
    return Counter(line for line in map(str.strip, text.split("\n")) if len(line) > 2)


def _line_similarity(old: Counter[str], new: Counter[str]) -> float:
    total = old.total() + new.total()
    return 2 * (old & new).total() / total if total else 1.0


def _similar_files(
    before: Mapping[str, Counter[str]], after: Mapping[str, Counter[str]]
) -> list[tuple[str, str, float]]:
    files_by_line: dict[str, list[str]] = defaultdict(list)
    for path, lines in after.items():
        for line in lines:
            files_by_line[line].append(path)
    pairs = []
    for path, lines in before.items():
        shared: Counter[str] = Counter()
        for line in lines:
            sharing = files_by_line.get(line, ())
            if len(sharing) <= _MAX_LINE_FILES:
                shared.update(sharing)
        for candidate, _ in sorted(shared.items(), key=lambda entry: (-entry[1], entry[0]))[:10]:
            similarity = _line_similarity(lines, after[candidate])
            threshold = _MIN_FILE_SIMILARITY_SAME_NAME if basename(path) == basename(candidate) else _MIN_FILE_SIMILARITY
            if similarity >= threshold and candidate != path:
                pairs.append((path, candidate, similarity))
    return pairs
