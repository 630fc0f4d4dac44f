"""Commit messages: detect noise and clean the rest."""

import re

from cortex_pipelines.words import unseparated_words

# Machines' commits, merges and reverts, and bumps of versions: the noise that StarCoder and
# CommitPackFT leave out.
_NOISE = re.compile(
    r"^(?:merge\b|revert\b|reapply\b|squashed? commit|automated\b|auto-?generated\b"
    r"|bump\b|(?:pre-?)?releases?(?:\s+(?:v?\d|version|candidate|notes)|:|$)"
    r"|prepare (?:for )?(?:next )?(?:release|version)|version\b"
    r"|v?\d+\.\d+|set version\b|update (?:version|changelog|submodules?)\b"
    r"|(?:fix|build|chore|ci)\(deps|(?:update|upgrade) dependenc|\[?pre-commit|\[maven-release)"
    r"|\[bot\]|dependabot|renovate|greenkeeper|snyk-bot|autoupdate",
    re.IGNORECASE,
)
_TRAILER = re.compile(
    r"^(?:[A-Z][A-Za-z]+(?:-[A-Za-z]+)+|Fixes|Fixed|Closes|Closed|Resolves|Refs?|See|Bug|Issue|PR"
    r"|Reviewers|Link)\s*:.*$",
    re.IGNORECASE,
)
_REFERENCE = re.compile(
    r"[ \t]?\((?:[^()]*\s)?(?:[\w.-]+/[\w.-]+)?#\d+(?:,\s*#\d+)*\)"
    r"|\b(?:(?:fix(?:es|ed)?|close[sd]?|resolve[sd]?|refs?|see|part of|issue|pr|pull request)\s+)"
    r"(?:[\w.-]+/[\w.-]+)?(?:#|GH-)\d+"
    r"|(?:[\w.-]+/[\w.-]+)?(?<![&\w])(?:#|GH-)\d+\b",
    re.IGNORECASE,
)
# Only where a tracker's key stands by habit: SHA-256 and RFC-7231 are no tickets.
_TICKET = re.compile(r"^(?:[A-Z][A-Z0-9]+-\d+:?\s+)+|[\[(][A-Z][A-Z0-9]+-\d+[\])]", re.MULTILINE)
_PLACE = re.compile(r"\bhttps?://\S+|\bgit-svn-id:.*|\bsvn\s+r?\d+\b|(?<![\w@])@[\w-]+")
# What matters is said first; hostile messages have megabytes without a blank.
_MOST_CHARS = 4000
_EMPTY = re.compile(
    r"wip|updates?|updated|fix(?:es|ed|up)?|changes?|misc|stuff|tests?|typos?|cleanup|minor|initial"
    r"|commit|tmp|temp|save|checkpoint|refactor",
    re.IGNORECASE,
)


def is_noise(subject: str, min_words: int) -> bool:
    """Whether a commit's subject carries no information or marks the commit as unsuitable.

    Args:
        subject: First line of the message.
        min_words: Fewest words that it must have.
    """
    words = re.findall(r"[^\W\d_]{2,}", subject)
    if len(words) + unseparated_words(subject) < min_words or all(
        _EMPTY.fullmatch(word) for word in words
    ):
        return True
    return bool(_NOISE.search(re.sub(r"^\w+(?:\([^)]*\))?!?:\s*", "", subject))) or bool(
        _NOISE.match(subject)
    )


def cleaned(subject: str, body: str) -> str:
    """The message without trailers, issue numbers, links and names of people.

    Args:
        subject: First line of the message.
        body: The rest.
    """
    lines = [line for line in body[:_MOST_CHARS].splitlines() if not _TRAILER.match(line.strip())]
    text = "\n".join([subject[:_MOST_CHARS], *lines])
    text = _REFERENCE.sub("", _TICKET.sub("", _PLACE.sub("", text)))
    kept = [re.sub(r"[ \t]{2,}", " ", line).strip(" \t:;,") for line in text.splitlines()]
    paragraphs = re.sub(r"\n{3,}", "\n\n", "\n".join(kept))
    return paragraphs.strip()
