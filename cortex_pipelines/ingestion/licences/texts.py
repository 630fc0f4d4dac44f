"""Recognise licences by their full texts and by notices.

The texts come from the package `identify`. A text is found by the share of its runs of words that
stand in a file, so comment marks, line breaks and names of holders do not matter.
"""

import re
from functools import lru_cache

from cortex_pipelines.ingestion.licences.expressions import NOT_UNDERSTOOD, RESTRICTED, all_of, spdx

_RUN = 4
_SHARE = 0.9
"""Share of a licence's word four-grams that a file must contain; a changed holder costs few."""

_OWN_SHARE = 0.05
"""Share of them that must not be explained by a longer licence: BSD-3 contains BSD-2."""

_SHORT = 30
"""Word count up to which a licence file may be a mere name or pointer."""

_TERMS = re.compile("reserved|propriet|confidential|permission|permitted|prohibited|forbidden")

_WORD = re.compile(r"[a-z0-9]+")
_HOLDER = re.compile(r"^.{0,60}\bcopyright (?:\(c\)|©|\[|<|\d).{0,160}$", re.IGNORECASE | re.MULTILINE)
_NAMES_OF_HOLDERS = (
    (r"neither the names? of (?:\w+ ){1,20}?nor the names? of (?:\w+ ){1,8}?may", "neither may"),
    (r"neither the names? of (?:\w+ ){1,20}?may", "neither may"),
    (r"names? of (?:\w+ ){1,16}?may not be used to endorse", "neither may be used to endorse"),
    (r"provided by (?:\w+ ){1,16}?as is", "provided by as is"),
    (r"in no event shall (?:\w+ ){1,16}?be liable", "in no event shall be liable"),
    (r"above copyright notice and this permission notice(?: shall be)?", "above notices"),
    (r"\b(?:noninfringement|non infringement)\b", "noninfringement"),
)
_TEXT_IN_HEAD = re.compile(
    r"\b(?:permission is hereby granted|permission to use|redistribution and use"
    r"|unencumbered software|without any express)",
    re.IGNORECASE,
)
# A comment marker before the tag: code that merely handles such tags is not a header.
_TAG = re.compile(
    r"^[ \t]*(?:#+|//+!?|/?\*+!?|--+|;+|<!--|\"\"\"|'''|%+|\.\.|dnl|rem)?[ \t]*"
    r"SPDX-License-Identifier:[ \t]*([^\n\r]*?)[ \t]*(?:\*/|-->|\"\"\"|'''|\*)?[ \t]*\r?$",
    re.IGNORECASE | re.MULTILINE,
)
# Terms that take back what the text around them grants.
_RESTRICTIONS = re.compile(
    r"commons clause|for good not evil|(?:attribution|for) non ?commercial\b(?! distribution)"
    r"|non ?commercial (?:use|purposes)|business source license|server side public license"
    r"|elastic license|proprietary and confidential|confidential and proprietary"
    r"|unauthori[sz]ed (?:copying|use|reproduction)|polyform|all advertising materials mentioning"
)
# Titles of texts that the package does not have.
_TITLES = (
    (r"python software foundation license version 2|psf license agreement for", "PSF-2.0"),
    (r"zope public license zpl version 2 1", "ZPL-2.1"),
)
_GRANTED = r"(?:licen[sc]ed|released|distributed) under (?:the )?(?:terms (?:of )?the )?"
_OFFERED = r"(?:licen[sc]ed|released|distributed|available) under (?:the )?(?:terms (?:of )?the )?"
_NOTICES = (
    (rf"{_OFFERED}(?:apache licen[sc]e|apache)(?: version)? 2|apache org licenses license 2 0", "Apache-2.0"),
    (r"mozilla public license v(?:ersion)? ?2 0|mozilla org mpl 2 0", "MPL-2.0"),
    (rf"{_OFFERED}(?:mit|expat)\b|\bmit style licen[sc]e|opensource org licenses mit", "MIT"),
    (rf"{_GRANTED}(?:new|modified|revised|3 clause|three clause) bsd", "BSD-3-Clause"),
    (rf"{_GRANTED}(?:simplified|freebsd|2 clause|two clause) bsd", "BSD-2-Clause"),
    (r"\bmit no attribution\b", "MIT-0"),
    (r"boost software license version 1 0", "BSL-1.0"),
    (r"eclipse public license v(?:ersion)? ?(\d) 0|eclipse org legal epl v?(\d)", "EPL-{}.0"),
    (r"common development and distribution license", "CDDL-1.0"),
    (r"creative commons(?: [a-z]+)* (?:no ?derivatives|share ?alike)", NOT_UNDERSTOOD),
)
_GNU = re.compile(
    r"gnu (?:(lesser|library|affero) )?(?:general )?public licen[sc]e(?: \w+){0,16}?"
    r" v(?:ersion )?(\d)(?: ([01])\b)?((?: \w+){0,12}? any later version)?"
)


def licence_of_text(text: str) -> str | None:
    """SPDX expression of all licences in a licence file.

    ``NOASSERTION`` if it says something that is not understood, None if it says nothing.
    """
    words = _words_of(text)
    if not words:
        return None
    short = len(words.split()) < _SHORT
    identifier = spdx(text.strip()) if short else None
    licence = identifier or all_of(_licences_in(words))
    # a few words that grant and forbid nothing only point to where the licence is
    return licence or (None if short and not _TERMS.search(words) else NOT_UNDERSTOOD)


def licence_of_header(head: str) -> str | None:
    """SPDX expression in a file's first lines; None if it states no licence."""
    tags = [tag for tag in _TAG.findall(head) if tag]
    if tags:
        return all_of(spdx(tag) or NOT_UNDERSTOOD for tag in tags)
    if not re.search("licen[sc]e|permission|redistribution|confidential", head, re.IGNORECASE):
        return None
    return all_of(_licences_in(_words_of(head), texts=bool(_TEXT_IN_HEAD.search(head))))


def _licences_in(words: str, *, texts: bool = True) -> list[str]:
    licences = _by_text(words) if texts else []
    licences += [name for form, name in _TITLES if re.search(form, words)]
    if not licences:
        matches = ((re.search(form, words), name) for form, name in _NOTICES)
        licences = [name.format(*filter(None, match.groups())) for match, name in matches if match]
        for kind, version, minor, later in (match.groups() for match in _GNU.finditer(words)):
            letters = {"affero": "AGPL", "lesser": "LGPL", "library": "LGPL"}.get(kind or "", "GPL")
            gnu = spdx(f"{letters}-{version}.{minor or 0}-{'or-later' if later else 'only'}")
            licences.append(gnu or NOT_UNDERSTOOD)
    return licences + [RESTRICTED] * bool(_RESTRICTIONS.search(words))


def _words_of(text: str) -> str:
    return " ".join(_WORD.findall(_HOLDER.sub("", text).lower()))


def _runs(text: str) -> set[tuple[str, ...]]:
    """Word n-grams, with holders unified and clause numbers removed."""
    for form, replacement in _NAMES_OF_HOLDERS:
        text = re.sub(form, replacement, text)
    words = [word for word in text.split() if len(word) > 1]
    return set(zip(*(words[start:] for start in range(_RUN)), strict=False))


@lru_cache(maxsize=1)
def _texts() -> tuple[tuple[str, frozenset[tuple[str, ...]]], ...]:
    from identify.vendor.licenses import LICENSES

    gnu = re.compile(r"A?L?GPL-")
    return tuple((name + "-only" * bool(gnu.match(name)), frozenset(_runs(_words_of(text)))) for name, text in LICENSES)


def _by_text(words: str) -> list[str]:
    runs = _runs(words)
    candidates = [(text & runs, text, name) for name, text in _texts()]
    candidates = [candidate for candidate in candidates if len(candidate[0]) >= _SHARE * len(candidate[1])]
    names, explained = [], set[tuple[str, ...]]()
    for shared_runs, text, name in sorted(candidates, key=lambda candidate: (-len(candidate[0]), candidate[2])):
        if len(shared_runs - explained) >= _OWN_SHARE * len(text):
            names.append(name)
            explained |= shared_runs
    return names
