"""Read licences from package manifests as data, without running anything."""

import json
import re
import tomllib
from collections.abc import Callable
from configparser import ConfigParser
from configparser import Error as ConfigError
from email.parser import HeaderParser
from pathlib import PurePosixPath
from typing import Any

from cortex_pipelines.ingestion.licences.expressions import NOT_UNDERSTOOD, all_of, spdx
from cortex_pipelines.ingestion.licences.texts import licence_of_text

_LONGEST_NAME = 200
_CLASSIFIER = "License :: "
# Matched against the words of a name; a name that could be several licences has no line here.
_NAMES = (
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
    if len(text) > _LONGEST_NAME:
        return NOT_UNDERSTOOD
    exact = spdx(text)
    if exact:
        return exact
    words = " ".join(re.findall(r"[a-z0-9+]+", text.rpartition("::")[2].lower()))
    words = re.sub(r"^the | licen[sc]e$", "", words).replace("gplv", "gpl v")
    for form, name in _NAMES:
        if re.fullmatch(form, words):
            return name
    gnu = _GNU.fullmatch(words)
    if not gnu:
        return NOT_UNDERSTOOD
    kind, letter, version, minor, later = gnu.groups()
    before = {"affero ": "A", "lesser ": "L", "library ": "L"}.get(kind or "", (letter or "").upper())
    is_open = later or "+" in words or "later" in words
    return spdx(f"{before}GPL-{version}.{minor or 0}-{'or-later' if is_open else 'only'}") or NOT_UNDERSTOOD


_LONGEST = 200_000
"""Longest manifest that is read, in characters; published ones have some thousands."""

_LONGEST_LINE = 1_000
"""Longest TOML line that is read, in characters: the parser is quadratic in key parts."""

_LONGEST_BLOCK = 20_000
_SETUP_LICENCE = re.compile(r"""\blicense\s*=\s*(["'])([^"'\n]{1,200})\1""")
_SETUP_CLASSIFIER = re.compile(r"""(["'])(License :: [^"'\n]{1,200})\1""")
_POM_NAME = re.compile(r"<name>([^<]{1,200})</name>")


def declared_licence(path: str, text: str) -> str | None:
    """SPDX expression for its folder; ``NOASSERTION`` if it is not understood, None if nothing is declared."""
    read = _READERS.get(PurePosixPath(path).name)
    if read is None or len(text) > _LONGEST:
        return None
    try:
        licences = [licence_named(name) for name in read(text) if isinstance(name, str)]
    except (ValueError, TypeError, RecursionError, ConfigError):
        return None
    recognised = [name for name in licences if name]
    return next((name for name in recognised if name != NOT_UNDERSTOOD), recognised[0] if recognised else None)


def _table(values: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        values = values.get(key) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}


def _classified(classifiers: Any) -> list[str]:
    lines = [line for line in classifiers if isinstance(line, str)] if isinstance(classifiers, list) else []
    leaves = [line.removeprefix(_CLASSIFIER) for line in lines if line.startswith(_CLASSIFIER)]
    conjunction = all_of(licence_named(leaf) or NOT_UNDERSTOOD for leaf in leaves if leaf != "OSI Approved")
    return [conjunction] if conjunction else []


def _toml(text: str) -> dict[str, Any]:
    lines = text.splitlines(keepends=True)
    return tomllib.loads("".join(line for line in lines if len(line) <= _LONGEST_LINE))


def _pyproject(text: str) -> list[Any]:
    values = _toml(text)
    project, poetry = _table(values, "project"), _table(values, "tool", "poetry")
    license_field = project.get("license")
    licence_text = license_field.get("text") if isinstance(license_field, dict) else license_field
    return [_licence_field(licence_text), *_classified(project.get("classifiers")), poetry.get("license")]


def _licence_field(text: Any) -> Any:
    if not isinstance(text, str) or "\n" not in text.strip():
        return text
    top_line_licence = licence_named(text.strip().partition("\n")[0])
    return top_line_licence if top_line_licence != NOT_UNDERSTOOD else licence_of_text(text[:_LONGEST_BLOCK])


def _metadata(text: str) -> list[Any]:
    head = HeaderParser().parsestr(text.partition("\n\n")[0][:_LONGEST_BLOCK])
    classifiers = [str(line) for line in head.get_all("Classifier", [])]
    return [head.get("License-Expression"), *_classified(classifiers), _licence_field(head.get("License"))]


def _setup_cfg(text: str) -> list[Any]:
    parser = ConfigParser(interpolation=None, strict=False)
    parser.read_string(text)
    values = dict(parser["metadata"]) if parser.has_section("metadata") else {}
    classifiers = values.get("classifiers", values.get("classifier", "")).splitlines()
    return [values.get("license_expression"), *_classified([c.strip() for c in classifiers]), values.get("license")]


def _setup_py(text: str) -> list[Any]:
    classifiers = [match[2] for match in _SETUP_CLASSIFIER.finditer(text)]
    return [*_classified(classifiers), *(match[2] for match in _SETUP_LICENCE.finditer(text))]


def _package_json(text: str) -> list[Any]:
    values = _table(json.loads(text))
    license_field = values.get("license", values.get("licenses"))
    license_entries = license_field if isinstance(license_field, list) else [license_field]
    names = [entry.get("type") if isinstance(entry, dict) else entry for entry in license_entries]
    licence_names = [name for name in names if isinstance(name, str)]
    return [" OR ".join(licence_names)] if licence_names else []


def _cargo(text: str) -> list[Any]:
    values = _toml(text)
    return [_table(values, *keys).get("license") for keys in (("package",), ("workspace", "package"))]


def _pom(text: str) -> list[Any]:
    start = text.find("<licenses>")
    end = text.find("</licenses>", start)
    block = text[start : min(end, start + _LONGEST_BLOCK)] if 0 <= start < end else ""
    return [all_of(licence_named(name) or NOT_UNDERSTOOD for name in _POM_NAME.findall(block))]


_READERS: dict[str, Callable[[str], list[Any]]] = {
    "pyproject.toml": _pyproject,
    "PKG-INFO": _metadata,
    "METADATA": _metadata,
    "setup.cfg": _setup_cfg,
    "setup.py": _setup_py,
    "package.json": _package_json,
    "Cargo.toml": _cargo,
    "pom.xml": _pom,
}
