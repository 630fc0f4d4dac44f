"""Names of persons in author lines: ``@author``, ``Copyright``, ``Signed-off-by``.

Only there: elsewhere a name cannot be told from other capitalised words without a model.
"""

import re
from collections.abc import Iterator

from cortex_pipelines.privacy.detect.findings import PERSONAL, Span
from cortex_pipelines.privacy.detect.values import PLACEHOLDER
from cortex_pipelines.privacy.detect.wording import word_set

# Cheap: what has to stand in a line, in lower case, for it to be read at all.
_SIGN = re.compile(r"auth|copyr|maint|contr|-by:|©|from:|ed by|en by|devel|\(c\)|credits__")
_LINE_CHARS = 300
_LINE = re.compile(
    r"""(?im)(?:
      @author\b[ \t:]*
    | ^\W{0,6}(?:original[ ]+)?(?:author|maintainer|contributor|written[ ]by
        |created[ ]by|modified[ ]by|developer)s?[ \t]*(?::|=|[ ]by\b)?[ \t]+
    | __(?:author|maintainer|credits)__[ \t]*=[ \t]*\[?
    | \b(?:signed-off|co-authored|reviewed|acked|tested|reported|suggested
        |helped|co-developed)-by:[ \t]*
    | (?:copyright\b[ \t]*(?:\(c\)|©|&copy;)?|\(c\)|©)[ \t,:]*
        (?:[0-9][0-9 \t,–-]{0,80})?(?:present|now)?[ \t,]*(?:by[ \t]+)?
    | ["']?authors?["']?[ \t]*[:=][ \t]*\[?[ \t]*\{?[ \t]*
        (?:name[ \t]*=[ \t]*|["']name["'][ \t]*:[ \t]*)?
    | ^\W{0,4}from:[ \t]+
    )["']?(?P<name>[^\W\d_][^\n<>"'(){}\[\]@#,;:|/\\=*]{2,60})""",
    re.VERBOSE,
)
# Two to four capitalised words, with the particles of names between them.
_CAPITALISED = r"[^\W\d_a-z][\w'’.-]*"
_PERSON = re.compile(
    rf"{_CAPITALISED}(?:(?:[ ](?:de|van|von|der|den|la|le|di|da|dos|bin|al|el)){{0,2}}"
    rf"[ ]{_CAPITALISED}){{1,3}}"
)
_NOT_A_PERSON = word_set(
    "inc llc ltd limited gmbh corp corporation company co foundation author authors contributor "
    "contributors team project developer developers university institute the google microsoft "
    "facebook meta amazon apple oracle ibm intel redhat red hat lab labs software systems "
    "technologies technology group association consortium community organization organisation "
    "maintainers committers all rights reserved license licensed notice holder holders owner "
    "owners department national research center centre school college ag bv sa sas srl licensing "
    "microsystems pty plc free open source "
    "apache mozilla linux gnu and or of for this that by in is to with from your name full first "
    "last see file unless copyright version api bot"
)


def author_names(text: str, lower: str) -> Iterator[Span]:
    """Names of persons in the author lines of a text.

    Args:
        text: The text.
        lower: The text in lower case, of the same length.
    """
    done = 0
    for sign in _SIGN.finditer(lower):
        if sign.start() < done:
            continue
        start = max(text.rfind("\n", 0, sign.start()) + 1, sign.start() - _LINE_CHARS)
        end = text.find("\n", sign.end(), sign.end() + _LINE_CHARS)
        done = end if end >= 0 else min(len(text), sign.end() + _LINE_CHARS)
        for match in _LINE.finditer(text[start:done]):
            name = _person(match["name"])
            if name:
                at = start + match.start("name")
                yield Span(at, at + len(name), PERSONAL, "name", "medium")


def _person(text: str) -> str:
    """The person's name at the start of a text; empty for an organisation."""
    match = _PERSON.match(text)
    if match is None or PLACEHOLDER.search(text):
        return ""
    if any(word.strip(".,'’").lower() in _NOT_A_PERSON for word in match[0].split()):
        return ""
    return match[0].rstrip(". -")
