"""Map common licence names and classifiers to SPDX."""

import re

from cortex_pipelines.ingestion.licences.expressions import NOT_UNDERSTOOD, spdx

_LONGEST = 200
_CLASSIFIER = "License :: "
# Matched against the words of a name; a name that could be several licences has no line here.
_NAMES = tuple(
    (re.compile(form), name)
    for form, name in (
        (r"apache(?: software)?(?: licen[sc]e)?(?: version)?(?: v)?(?: ?2(?: 0)?)?", "Apache-2.0"),
        (r"(?:mit|expat)(?: x11)?(?: licen[sc]e)?(?: mit)?", "MIT"),
        (r"(?:new|modified|revised|3 clause) bsd|bsd 3(?: clause)?|bsd new", "BSD-3-Clause"),
        (r"(?:simplified|freebsd|2 clause) bsd|bsd 2(?: clause)?", "BSD-2-Clause"),
        (r"(?:isc|iscl)(?: licen[sc]e)?(?: iscl)?", "ISC"),
        (r"(?:mozilla public licen[sc]e|mpl)(?: version)? v?2(?: 0)?(?: mpl 2 0)?", "MPL-2.0"),
        (r"(?:python software foundation|psf|psfl)(?: licen[sc]e)?(?: v?2)?", "PSF-2.0"),
        (r"(?:the )?unlicense(?: unlicense)?", "Unlicense"),
        (r"zlib(?: libpng)?(?: licen[sc]e)?", "Zlib"),
        (r"zero clause bsd(?: 0bsd)?|bsd zero clause", "0BSD"),
        (r"mit no attribution(?: licen[sc]e)?(?: mit 0)?", "MIT-0"),
        (r"boost software licen[sc]e(?: 1 0)?(?: bsl 1 0)?", "BSL-1.0"),
        (r"cc0(?: 1 0)?(?: universal)?(?: cc0 1 0)?(?: public domain dedication)?", "CC0-1.0"),
        (r"(?:eclipse public licen[sc]e|epl)(?: version)?(?: v)? ?1(?: 0)?(?: epl 1 0)?", "EPL-1.0"),
        (r"(?:eclipse public licen[sc]e|epl)(?: version)?(?: v)? ?2(?: 0)?(?: epl 2 0)?", "EPL-2.0"),
        (r"(?:zope public licen[sc]e|zpl)(?: v?2 1)?", "ZPL-2.1"),
    )
)
_GNU = re.compile(
    r"(?:gnu )?(affero |lesser |library )?(?:general public(?: licen[sc]e)?|(a|l)?gpl)"
    r" ?(?:version|v)? ?([123])(?: ([01]))?( plus|\+| or later| or newer)?\b.*"
)


def licence_named(text: str) -> str | None:
    """SPDX expression for a licence name or classifier.

    ``NOASSERTION`` if it means several or none that is known, None if it says nothing at all.
    """
    text = text.strip()
    if not text or text.upper() in ("UNKNOWN", "NONE"):
        return None
    if len(text) > _LONGEST:
        return NOT_UNDERSTOOD
    exact = spdx(text)
    if exact:
        return exact
    words = " ".join(re.findall(r"[a-z0-9+]+", text.rpartition("::")[2].lower()))
    words = re.sub(r"^the | licen[sc]e$", "", words).replace("gplv", "gpl v")
    for form, name in _NAMES:
        if form.fullmatch(words):
            return name
    gnu = _GNU.fullmatch(words)
    return _gnu_name(gnu) if gnu else NOT_UNDERSTOOD


def licence_classifiers(classifiers: list[str]) -> list[str]:
    leaves = [text.removeprefix(_CLASSIFIER) for text in classifiers if text.startswith(_CLASSIFIER)]
    return [licence_named(leaf) or NOT_UNDERSTOOD for leaf in leaves if leaf != "OSI Approved"]


def _gnu_name(match: re.Match[str]) -> str:
    kind, letter, version, minor, later = match.groups()
    before = {"affero ": "A", "lesser ": "L", "library ": "L"}.get(kind or "", (letter or "").upper())
    later = later or "+" * ("+" in match[0] or "later" in match[0])
    text = f"{before}GPL-{version}.{minor or 0}-{'or-later' if later else 'only'}"
    return spdx(text) or NOT_UNDERSTOOD
