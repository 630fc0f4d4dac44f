"""Names of persons in author lines: ``@author``, ``Copyright``, ``Signed-off-by``.

Only there: elsewhere names cannot be told from other capitalised words without a model.
"""

import re
from collections import Counter
from collections.abc import Iterator

from cortex_pipelines.privacy.detect.findings import PERSONAL, Span
from cortex_pipelines.privacy.detect.rules.personal import mail_addresses
from cortex_pipelines.privacy.detect.text.indexed_text import IndexedText
from cortex_pipelines.privacy.detect.text.wording import word_set
from cortex_pipelines.privacy.detect.values import PLACEHOLDER

# What has to be in a line, in lower case, for it to be read at all, with the word of it that the
# text's vocabulary must have; none for what is not in ASCII.
_SIGNS = tuple(
    (sign, word)
    for word, signs in {
        "author": ("author",), "autor": ("autor",), "auteur": ("auteur",), "verfass": ("verfass",),
        "copyr": ("copyr",), "maintain": ("maintain",), "contributor": ("contributor",),
        "developer": ("developer",), "credits__": ("credits__",), "from ": ("from:",), "cc ": ("cc:",),
        " c ": ("(c)",),
        " by ": ("-by:", "ed by", "en by", "ch by", "code by", "work by", "idea by", "script by",
                "ple by", "tation by"),
        "": ("©", "作者", "著者", "作成者", "저자", "автор"),
    }.items()
    for sign in signs
)  # fmt: skip
_AT_LINE_STARTS = ("contributor", "developer")
_BEFORE_SIGN = 20
_ADDRESS = re.compile(r"@[\w.-]{3,80}(?:>|&gt;|\))|&#64;")
_LINE_CHARS = 300
_LINE = re.compile(
    r"""(?im)(?:
      @(?:author|auteur|maintainer)\b[ \t:]*
    | ^\W{0,6}(?:original[ ]+)?(?:author|maintainer|contributor|written[ ]by
        |created[ ]by|modified[ ]by|developer)s?[ \t]*(?::|=|[ ]by\b)?[ \t]+
    | __(?:author|maintainer|credits)__[ \t]*=[ \t]*[\[(]?
    | \b[a-z]{2,12}(?:-[a-z]{2,12})?-by:[ \t]*
    | ^\W{0,4}(?:from|cc):[ \t]+
    | \b(?:written|contributed|developed|implemented|maintained|authored|coded|ported|suggested
        |reported|requested|patch|(?:code|work|idea|script|example|implementation))[ ]by:?[ ]
    | (?:copyright(?:text)?\b:?[ \t]*(?:=[ \t]*)?["'`]?(?:copyright[ \t]+)?(?:\(c\)|©|&copy;)?|\(c\)|©)[ \t,:]*
        (?:\$\{[^{}\n]{1,80}\}[ \t]*)?
        (?:[0-9][0-9 \t,–-]{0,80})?(?:present|now)?[ \t,]*(?:by[ \t]+)?
    | (?<![\w.])["']?(?:authors?|maintainers?|auteurs?|autor(?:es)?|verfasser)["']?[ \t]*[:=][ \t]*
        [\[{(]?[ \t]*[\[{(]?[ \t]*u?(?:name[ \t]*=[ \t]*|["']name["'][ \t]*:[ \t]*)?
    | \\author\{ | <(?:author|maintainer)>
    | (?:作者|著者|作成者|저자|автор\b)[ \t]*[:：=]?[ \t]*
    )["']?(?P<name>[^\W\d_][^\n<>"'`(){}\[\]@#,;:|/\\=，、]{1,60})""",
    re.VERBOSE,
)
# Further persons of a list, with or without their addresses.
_NEXT = re.compile(
    r"""["']?[ ]?(?:<[^<>\n]{3,80}>|\([^()\n]{1,80}\))?
    (?:[ ]?(?:,|;|&|、|，)[ ]?(?:and[ ])?|[ ]and[ ])
    ["']?(?P<name>[^\W\d_][^\n<>"'`(){}\[\]@#,;:|/\\=，、]{1,60})""",
    re.VERBOSE,
)
_ADDRESSED = re.compile(
    r"(?P<name>[^\W\d_a-z][^\n<>\"'(){}\[\]@#,;:|/\\=0-9]{2,60}?)[\"']?[ \t]*(?:<|&lt;|\()"
    r"[\w.+-]{1,64}(?:@|[ ]at[ ])[\w.-]{3,80}(?:>|&gt;|\))"
)
_HANDLE = re.compile(r"@author[ \t:]+([a-z][a-z0-9_-]{2,20})[ \t]*(?:$|<)", re.MULTILINE)
# In a trailer all before the address is a name, but for that of a robot.
_TRAILER = re.compile(r"-[bB]y:[ \t]+([^\W\d_][^\n<>\[\]@]{1,60}?(?<!\s))[ \t]*<(?!no-?reply@)[^<>\n]{1,80}@")
# Two to four capitalised words, with the particles of names between them; or a name as it is
# written in Chinese, Japanese or Korean.
_CAPITALISED = r"[^\W\d_a-z][\w'’.-]*"
_PERSON = re.compile(
    rf"{_CAPITALISED}(?:(?:[ ](?:de|van|von|der|den|la|le|di|da|dos|bin|al|el)){{0,2}}"
    rf"[ ]{_CAPITALISED}){{1,3}}"
    "|[\u4e00-\u9fff]{2,4}(?![\u4e00-\u9fff])"
    "|[\u30a0-\u30ff\u4e00-\u9fff]{2,8}[ ・][\u30a0-\u30ff\u4e00-\u9fff]{1,8}"
    "|[\uac00-\ud7a3]{2,4}(?![\uac00-\ud7a3])"
)
_MOST_NAMES = 30
_TASK = re.compile(
    r"\b(?:TODO|FIXME|XXX|HACK)\(@?(?!(?:py|pytest|pep|slep|gh|v)\d)"
    r"([a-z][a-z0-9]{2,20}(?:[.-](?!team\b|up\b)[a-z][a-z0-9]{1,20})?)\)"
)
_NOT_A_PERSON = word_set(
    "inc llc ltd limited gmbh corp corporation company co foundation author authors contributor contributors team "
    "project developer developers university institute the google microsoft facebook meta amazon apple oracle ibm "
    "intel redhat red hat lab labs software systems technologies technology group association consortium community "
    "organization organisation maintainers committers all rights reserved license licensed notice holder holders owner "
    "owners department national research center centre school college ag bv sa sas srl licensing microsystems pty plc "
    "free open source apache mozilla linux gnu and or of for this that by in is to with from your name full first last "
    "see file unless copyright version api bot collaboration authority ecosystem uc eth s.a network society academy "
    "council alliance federation covenant 著作権 作者 著者 作成者 投稿者 작성자"
)


# Maven's lists of persons, and the authors of feeds
_ELEMENT = re.compile(
    r"<(author|contributor|developer|maintainer)>(?:(?!</\1>)[\s\S]){0,400}?<name>\s*(?P<name>[^<>]{1,60})"
)
# Of package.json's lists of persons
_MEMBER = re.compile(r'"name"\s*:\s*"(?P<name>[^"\n]{1,60})"\s*,\s*"email"\s*:\s*"(?P<mail>[^"\n]{3,80})"')
# Topics and states that stand where a person's name may: ``TODO(perf)``.
_TERMS = _NOT_A_PERSON | word_set(
    "unassigned someone everyone anyone later future perf performance docs test tests testing cleanup refactor "
    "security feature bug next release soon maybe note api typing types async windows macos ios android python rust "
    "java node deprecated remove upstream backport doc design optimize optimization optimise compiler someday style "
    "lint flaky callbacks devtools infra build ci"
)


def author_names(indexed: IndexedText) -> Iterator[Span]:
    """Names of persons in the author lines of a text."""
    text = indexed.text
    if any(task in text for task in ("TODO(", "FIXME(", "XXX(", "HACK(")):
        # a word that also occurs elsewhere in the text is about code
        tasks = list(_TASK.finditer(text))
        counts = Counter(task[1] for task in tasks)
        for task in tasks:
            occurrences = re.findall(rf"(?i)(?<![^\W_]){re.escape(task[1])}(?![^\W_])", text)
            if len(occurrences) == counts[task[1]] and task[1] not in _TERMS:
                yield Span(*task.span(1), PERSONAL, "name", "low")
    elements = list(_ELEMENT.finditer(text)) if "<name>" in text else []
    if '"email"' in text:  # not in samples
        elements += (member for member in _MEMBER.finditer(text) if any(mail_addresses(member["mail"])))
    for element in elements:
        if name := _person(element["name"]):
            yield Span(element.start("name"), element.start("name") + len(name), PERSONAL, "name", "medium")
    for start in sorted(_line_starts(indexed)):
        end = text.find("\n", start, start + 3 * _LINE_CHARS)
        line = text[start : end if end >= 0 else start + 3 * _LINE_CHARS]
        for first, last in sorted({*_in_line(line)}):
            yield Span(start + first, start + last, PERSONAL, "name", "medium")


def _line_starts(indexed: IndexedText) -> set[int]:
    """Starts of the lines that may name a person; in long lines, of nearby positions."""
    text, lower = indexed.text, indexed.lower
    starts: set[int] = set()
    for sign, word in _SIGNS:
        is_possible = word in indexed.vocabulary and (word or not text.isascii())
        position = lower.find(sign) if is_possible else -1
        while position >= 0:
            end = position + len(sign)
            if _may_name_person(sign, text, position, end):
                starts.add(_line_start(text, position))
            position = lower.find(sign, end)
    starts.update(_line_start(text, address.start()) for address in _ADDRESS.finditer(text))
    return starts


def _may_name_person(sign: str, text: str, position: int, end: int) -> bool:
    """Whether a sign is not part of a word about something else, or in the middle of prose."""
    if sign == "author":  # not authority
        return not text[end : end + 1].isalpha() or text[end] in "sS"
    if sign == "(c)":  # also a call
        following = text[end : end + 6].lstrip(" \t,:\"'")[:1]
        return not following or following.isupper() or following in "0123456789bBpP" or not following.isascii()
    if sign.endswith(" by"):
        following = text[end : end + 4].lstrip(": \"'")[:1]
        return not following or following.isupper() or not following.isascii()
    return sign not in _AT_LINE_STARTS or position - _line_start(text, position) <= _BEFORE_SIGN


def _line_start(text: str, position: int) -> int:
    """Start of a line; in a long line, a nearby position before the character."""
    return max(text.rfind("\n", 0, position) + 1, (position // _LINE_CHARS - 1) * _LINE_CHARS)


def _in_line(line: str) -> Iterator[tuple[int, int]]:
    for first in _LINE.finditer(line):
        listed: re.Match[str] | None = first
        for _ in range(_MOST_NAMES):
            name = _person(listed["name"]) if listed else ""
            if not listed or not name:
                break
            end = listed.start("name") + len(name)
            yield listed.start("name"), end
            listed = _NEXT.match(line, end)
    for match in _ADDRESSED.finditer(line) if any(sign in line for sign in ("<", "&lt;", "(")) else ():
        is_sample = match[0].endswith(")") and not any(mail_addresses(match[0]))
        if _person(match["name"]) == match["name"] and not is_sample:
            yield match.span("name")
    for pattern in (_HANDLE, _TRAILER) if "@" in line else ():
        for match in pattern.finditer(line):
            if match[1] not in _NOT_A_PERSON:
                yield match.span(1)


def _person(text: str) -> str:
    """The person's name at the start of a text; empty for an organisation."""
    match = _PERSON.match(text)
    if match is None or PLACEHOLDER.search(text):
        return ""
    if any(word.strip(".,'’").lower() in _NOT_A_PERSON for word in match[0].split()):
        return ""
    return match[0].rstrip(". -")
