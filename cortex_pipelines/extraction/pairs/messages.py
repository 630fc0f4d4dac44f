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
# Only at the usual positions of a ticket number: SHA-256 and RFC-7231 are not tickets.
_TICKET = re.compile(r"^(?:[A-Z][A-Z0-9]+-\d+:?\s+)+|[\[(][A-Z][A-Z0-9]+-\d+[\])]", re.MULTILINE)
_REFERENCE_NOISE = re.compile(r"\bhttps?://\S+|\bgit-svn-id:.*|\bsvn\s+r?\d+\b|(?<![\w@])@[\w-]+")
# The important part comes first; hostile messages have megabytes without a blank.
_MAX_CHARS = 4000
_EMPTY = re.compile(
    r"wip|updates?|updated|fix(?:es|ed|up)?|changes?|misc|stuff|tests?|typos?|cleanup|minor|initial"
    r"|commit|tmp|temp|save|checkpoint|refactor",
    re.IGNORECASE,
)


def is_noise(subject: str, min_words: int) -> bool:
    """Whether a commit's subject carries no information or marks the commit as unsuitable."""
    words = re.findall(r"[^\W\d_]{2,}", subject)
    if len(words) + unseparated_words(subject) < min_words or all(_EMPTY.fullmatch(word) for word in words):
        return True
    return bool(_NOISE.search(re.sub(r"^\w+(?:\([^)]*\))?!?:\s*", "", subject))) or bool(_NOISE.match(subject))


def clean_message(subject: str, body: str) -> str:
    """The message without trailers, issue numbers, links and names of people."""
    lines = [line for line in body[:_MAX_CHARS].splitlines() if not _TRAILER.match(line.strip())]
    text = "\n".join([subject[:_MAX_CHARS], *lines])
    text = _REFERENCE.sub("", _TICKET.sub("", _REFERENCE_NOISE.sub("", text)))
    cleaned_lines = [re.sub(r"[ \t]{2,}", " ", line).strip(" \t:;,") for line in text.splitlines()]
    paragraphs = re.sub(r"\n{3,}", "\n\n", "\n".join(cleaned_lines))
    return paragraphs.strip()
