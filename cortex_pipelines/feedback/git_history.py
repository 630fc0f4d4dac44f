"""What the history of a repository says: what survives of completions, and a simulated developer.

The developer types the next version of a file. Its rule of acceptance is fixed here, beforehand, and not tuned to any
result: it knows the line that comes next, and takes what is close to it. What it does says how the machinery works,
nothing of how people would react; every event is marked, and figures of people never contain one.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Literal

from rapidfuzz.distance import Levenshtein, Prefix

from cortex_pipelines.feedback.events import FeedbackEvent
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.ingestion.git.command import run_git


def retained_in_commits(interactions: Iterable[dict[str, Any]], repository: Path) -> Iterator[FeedbackEvent]:
    """An event for each accepted completion whose file was committed since; ``repository`` is a git directory."""
    require_commit(repository)
    for row in interactions:
        if row["outcome"] != "accepted" or None in (row["original"], row["path"], row["first_at"]):
            continue
        since, file = f"--since={int(row['first_at'].timestamp()) + 1}", f":(literal){row['path']}"
        log = run_git(repository, "log", "--reverse", "--format=%H %cI", since, "HEAD", "--", file)
        if not log:
            continue
        name, committed_at = log.splitlines()[0].split()
        yield FeedbackEvent(
            completion_id=row["completion_id"],
            kind="retained",
            source="git",
            simulated=row["simulated"],
            at=datetime.fromisoformat(committed_at),
            project=row["project"],
            characters=surviving_characters(
                row["original"],
                file_at_commit(repository, name, row["path"]),
                file_at_commit(repository, f"{name}^", row["path"]),
            ),
        )


def require_commit(repository: Path) -> None:
    try:
        run_git(repository, "rev-parse", "--verify", "HEAD^{commit}")
    except SourceError as error:
        raise SourceError(
            f"{repository} has no commit yet, or is not a git repository; commit something first, "
            "or give the folder of another one"
        ) from error


def surviving_characters(completion: str, text: str, before: str = "") -> int:
    """Characters of a completion that survive in a text, counted by whole lines.

    A line counts whole or not at all, as often as the commit adds it; indentation
    does not matter, and an unfinished first or last line counts where a new line contains it.
    """
    lines = completion.splitlines(keepends=True)
    line_counts = Counter(line.strip() for line in text.splitlines())
    line_counts -= Counter(line.strip() for line in before.splitlines())
    surviving = 0
    for number, line in enumerate(lines):
        stripped = line.strip()
        if not stripped:
            surviving += len(line)
        elif line_counts[stripped] > 0:
            line_counts[stripped] -= 1
            surviving += len(line)
        elif number in (0, len(lines) - 1) and any(stripped in other for other in +line_counts):
            surviving += len(line)
    return surviving


def file_at_commit(repository: Path, commit: str, path: str) -> str:
    try:
        return run_git(repository, "cat-file", "blob", f"{commit}:{path}")
    except SourceError:
        return ""


Suggest = Callable[[str, str], tuple[str, str | None]]
"""Text before and after the cursor to a line, and its id where a gateway has written it down."""

Post = Callable[[str, dict[str, Any]], Mapping[str, Any]]
"""Path and body of a request to a gateway to its answer, empty where that has no body."""

Reaction = Literal["select", "correct", "part", "typed", "dismiss"]

NEARLY = 0.3
"""Share of characters up to which a developer takes a line and corrects it."""

CHARACTERS_PER_SECOND = 5.0
"""Typing speed: some 60 words a minute."""


_WINDOW = 4000
"""Characters on each side of the cursor that are sent."""


@dataclass(frozen=True)
class FileRevision:
    path: str
    at: datetime
    before: str
    after: str


def reaction(suggested: str, actual: str) -> Reaction:
    """What the developer does with a line, knowing the one that comes next.

    The same but for outer white space is taken; what differs by at most ``NEARLY`` is taken and
    corrected; of what begins with at least half of the wanted line, that part is taken; nothing at
    all is dismissed; anything else is typed over.
    """
    suggested, actual = suggested.strip(), actual.strip()
    if suggested == actual:
        return "select"
    if not suggested:
        return "dismiss"
    if Levenshtein.normalized_distance(suggested, actual) <= NEARLY:
        return "correct"
    return "part" if Prefix.similarity(suggested, actual) * 2 >= len(actual) else "typed"


def simulate(
    changes: Iterable[FileRevision], suggester: Callable[[FileRevision], Suggest], project: str, version: str
) -> Iterator[dict[str, Any]]:
    """Lines of the gateway's log, as if a developer had typed the changes; the clock is made up.

    A suggestion is asked for at each line that a change adds; ``suggester`` must not look at what comes after.
    """
    draw = random.Random(0)  # nosec B311: ids, no secrets
    for change in changes:
        suggest = suggester(change)
        clock = change.at - timedelta(hours=2)
        lines = change.after.splitlines(keepends=True)
        old, new = change.before.splitlines(), change.after.splitlines()
        changed = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        added = (range(begin, end) for kind, _, _, begin, end in changed if kind in ("replace", "insert"))
        for number in (number for lines_added in added for number in lines_added if new[number].strip()):
            actual, before = lines[number], "".join(lines[:number])
            suggested, completion_id = suggest(before, "".join(lines[number + 1 :]))
            identity = completion_id or f"sim-{draw.getrandbits(128):032x}"
            common = {"completion_id": identity, "simulated": True, "unit": "simulation"}
            if completion_id is None:
                yield common | {
                    "at": clock.isoformat(),
                    "type": "offered",
                    "project": project,
                    "version": version,
                    "language": language_of(change.path, change.after),
                    "task": "completion",
                    "path": change.path,
                    "characters": len(suggested),
                    "original": suggested,
                }
            for event in _events(suggested, actual, change.after):
                clock += timedelta(seconds=event.pop("wait"))
                yield common | {"at": clock.isoformat()} | event
            clock += timedelta(seconds=len(actual) / CHARACTERS_PER_SECOND)


def _events(suggested: str, actual: str, final: str) -> Iterator[dict[str, Any]]:
    """What the developer sends about one suggestion; ``wait`` is seconds since the one before."""
    yield {"type": "view", "wait": 0.0}
    action = reaction(suggested, actual)
    delay = 0.5 + len(suggested.strip()) / 40  # people read some 40 characters a second
    if action in ("typed", "dismiss"):
        yield {"type": action, "wait": delay}
        return
    part = Prefix.similarity(suggested.strip(), actual.strip()) if action == "part" else None
    accepted = suggested if part is None else suggested.strip()[:part]
    kind = {"select_kind": "line", "characters": part} if part is not None else {}
    yield {"type": "select", "elapsed": round(1000 * delay), "wait": delay, **kind}
    if action == "correct":
        blocks = SequenceMatcher(None, suggested, actual, autojunk=False).get_matching_blocks()
        retained = surviving = sum(block.size for block in blocks)
    else:
        retained, surviving = len(accepted), min(len(accepted), surviving_characters(accepted, final))
    yield {"type": "retained", "after": 30, "characters": retained, "wait": 30.0}
    if action == "correct":
        corrected = {"original": suggested, "correction": actual.strip("\n")}
        yield {"type": "feedback", "vote": "up", "wait": 1.0, **corrected}
    yield {"type": "retained", "after": 3600, "characters": surviving, "wait": 0.0}


def from_before(change: FileRevision) -> Suggest:
    """A baseline without a model: what followed the same line in the version before."""
    lines = [line for line in change.before.splitlines() if line.strip()]
    following = dict(zip((line.strip() for line in lines), lines[1:], strict=False))

    def suggest(before: str, _after: str) -> tuple[str, None]:
        last = next((line for line in reversed(before.splitlines()) if line.strip()), "")
        return following.get(last.strip(), ""), None

    return suggest


def from_gateway(post: Post, project: str) -> Suggest:
    """What a gateway suggests, as Tabby's agent asks for it; one line of it."""

    def suggest(before: str, after: str) -> tuple[str, str]:
        segments = {"prefix": before[-_WINDOW:], "suffix": after[:_WINDOW]}
        answer = post("/v1/completions", {"model": project, "user": "simulation", "segments": segments})
        text = str(answer["choices"][0]["text"]).lstrip("\n")
        return text.partition("\n")[0], str(answer["id"])

    return suggest


def send(events: Iterable[Mapping[str, Any]], post: Post) -> int:
    count = 0
    for event in events:
        body = {name: value for name, value in event.items() if name not in ("at", "unit")}
        post("/feedback" if event["type"] == "feedback" else "/v1/events", body)
        count += 1
    return count


def file_history(repository: Path, ending: str, most: int) -> list[FileRevision]:
    """The latest changes of files with an ending in a git repository, the oldest first."""
    require_commit(repository)
    log = run_git(
        repository, "log", "--no-merges", "--no-renames", "--diff-filter=AM", f"--max-count={most}",
        "--format=%x00%H %cI", "--name-only", "HEAD", "--", f"*{ending}",
    )  # fmt: skip
    changes = []
    for block in log.split("\0")[1:]:
        head, *paths = block.split("\n")
        commit, committed_at = head.split()
        for path in sorted(filter(None, paths)):
            texts = (file_at_commit(repository, name, path) for name in (f"{commit}^", commit))
            changes.append(FileRevision(path, datetime.fromisoformat(committed_at), *texts))
    return sorted(changes, key=lambda change: (change.at, change.path))[-most:]
