"""Documentation of a unit: from what its syntax says, from a model's text, from another unit's; and its checks."""

import re
import textwrap
from collections.abc import Callable
from functools import partial

from cortex_pipelines.answers.documentation_style import (
    VERBS,
    DocumentationStyle,
    DocumentedUnit,
    described_parameters,
    imperative,
    name_words,
    third_person,
)
from cortex_pipelines.answers.unit_facts import UnitFacts
from cortex_pipelines.augmentation.node_table import split_words
from cortex_pipelines.augmentation.snippets import parse_unit
from cortex_pipelines.datasets.tasks.documentation import first_paragraph, repeats_name
from cortex_pipelines.datasets.unit_text import fold_whitespace

_QUESTIONS = ("is", "has", "can", "should", "was", "are")
_PREPOSITIONS = split_words("to from in for as by with of on at if")
_SOURCES = split_words("parse extract read load decode")
_ADJECTIVES = ("ible", "able", "ous", "ful", "al", "ive", "ly", "ed")  # a name that ends so has lost its noun
_MOST_SENTENCES = 3
_MOST_CODE = 60  # characters of an expression that a sentence quotes
_PLAIN = re.compile(r"-?[\w.\[\]]+|\"[^\"]*\"|'[^']*'|\[\]|\{\}|\(\)")
_CALLED = {"sum": "the sum of", "len": "the number of elements of", "max": "the largest of", "min": "the smallest of"}
_CALL = re.compile(r"(\w+)\(([\w.]+)\)")
_YES_OR_NO = re.compile(r" (?:[=!]==?|[<>]=?) |^not |^!|\bis (?:not )?None\b|^(?:[Tt]rue|[Ff]alse)$")
_QUOTED = re.compile(r"(`+)([^`]+)\1|\{@(?:code|link)\s+([^}]+)\}|<code>([^<]+)</code>")
_CODE_WORD = re.compile(
    r"(?<![\w`./:])(?:[a-z][a-z0-9]*(?:_[a-z0-9]+)+|_+[a-z]\w*|[a-z]+[A-Z]\w*|\w+(?=\(\)))(?![\w/])"
)
_PARAMETER = re.compile(
    r"\b(?:parameters?|arguments?)\s+`*([a-z]\w*[_A-Z0-9]\w*)`*|`+(\w+)`+\s+(?:parameter|argument)\b"
)
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`:\d(])")
_COMMENT = re.compile(r"^[ \t]*(?:///?|/\*\*?|\*/?|#|\"\"\"|''')[ \t]?|(?:\*/|\"\"\"|''')[ \t]*$", re.MULTILINE)
_NOT_PROSE = re.compile(r"^\s*(?:def |class |return |import |from \w+ import|func |fn |@\w+\(|>>>|[{}]|\w+ = )")
_LEAST_WORDS = 3
_KNOWN_TO_ALL = split_words(
    "true false none null nil undefined self this cls str int bool float dict list tuple set bytes object string "
    "number boolean array function args kwargs iOS macOS"
)


def documentation_from_facts(facts: UnitFacts, style: DocumentationStyle) -> str | None:
    """Documentation from name, signature, returned values and errors; None if it would only repeat the name."""
    summary, details = _summary(facts, style), _details(facts, style)
    if details and summary.startswith("Return the "):  # of a getter, which says less than what it returns
        summary = ""
    sentences = list(dict.fromkeys([*([summary] if summary else []), *details]))[:_MOST_SENTENCES]
    text = style.styled(" ".join(sentences), facts.name) if sentences else ""
    return text + _sections(facts, style) if text and not _only_repeats_name(text, facts) else None


def _summary(facts: UnitFacts, style: DocumentationStyle) -> str:
    """The name as an English sentence; empty if it does not read as one."""
    quote, words = style.literal, name_words(facts.name)
    first, tail = (words[0], words[1:]) if words else ("", [])
    inputs = [each.name for each in facts.parameters if not each.variadic_marker]
    subject = f"{quote}{inputs[0]}{quote}" if inputs else ""
    if not facts.is_function or facts.name.startswith("__"):
        return ""
    if first in _QUESTIONS and tail:
        thing = " ".join(tail)
        is_noun = first == "is" and len(tail) > 1 and not tail[0].endswith(("ed", "ing")) and not thing.endswith("s")
        article = ("an " if thing[:1] in "aeiou" else "a ") if is_noun else ""
        predicate = f"{first} {article}{thing}"
        if not subject or facts.owner or not _says_yes_or_no(facts):  # of a method: what its object is
            return ""
        return f"Return whether {subject} {predicate}."
    if first in ("to", "as") and tail:
        return f"Convert {subject} to {' '.join(tail)}." if subject else ""
    if first not in VERBS or not tail or first == "test" or tail[-1].endswith(_ADJECTIVES):
        return ""
    verb, thing = "return" if first == "get" else first, " ".join(tail)
    is_linked = (
        subject and first in _SOURCES and _PREPOSITIONS.isdisjoint(tail) and set(name_words(inputs[0])).isdisjoint(tail)
    )
    article = "" if tail[-1].endswith("s") or tail[0] in _PREPOSITIONS else "the "
    return f"{verb.capitalize()} {article}{thing}{f' from {subject}' if is_linked else ''}."


def _details(facts: UnitFacts, style: DocumentationStyle) -> list[str]:
    """Sentences beyond the name: errors, and values by condition."""
    may_show = partial(_is_quotable, hidden=facts.local_names)
    returns = facts.returns
    single = returns[0].text if len(returns) == 1 and not returns[0].condition and facts.is_function else ""
    exits = sorted([*facts.raises, *(() if single else returns)], key=lambda each: each.start)
    details = []
    for outcome in exits:
        is_raised = outcome in facts.raises
        is_shown = may_show(outcome.condition) and may_show(outcome.text)
        if not is_shown or not (is_raised or _PLAIN.fullmatch(outcome.text)):
            break  # what comes after it is only true if this was not
        clause = f"{_quoted(outcome.text, style)} if {_quoted(outcome.condition, style)}"
        is_either = not is_raised and len(exits) == 2 and outcome is exits[0] and not exits[1].condition
        if is_either and exits[1] in returns and _PLAIN.fullmatch(exits[1].text) and may_show(exits[1].text):
            clause += f", else {_quoted(exits[1].text, style)}"
        details.append(_sentence("raise" if is_raised else "return", clause, style))
    is_simple = not single.startswith(("{", "[", "(")) and "," not in re.sub(r"\(.*\)", "", single)
    if is_simple and may_show(single) and (not _PLAIN.fullmatch(single) or not facts.parameters):
        details.append(_sentence("return", _english(single, style), style))
    return details


def _sentence(verb: str, text: str, style: DocumentationStyle) -> str:
    is_third = style.mood == "third person" or style.starts_with_name
    return f"{(third_person(verb) if is_third else verb).capitalize()} {text}."


def _quoted(code: str, style: DocumentationStyle) -> str:
    return f"{style.literal}{code}{style.literal}"


def _says_yes_or_no(facts: UnitFacts) -> bool:
    texts = [outcome.text for outcome in facts.returns]
    return "bool" in facts.unit.signature or bool(texts and all(_YES_OR_NO.search(text) for text in texts))


def _only_repeats_name(text: str, facts: UnitFacts) -> bool:
    head = text.partition("\n\n")[0].removeprefix(facts.name)
    head = re.sub(r"(?i)^\W*(?:returns?|gets?|is)\b", "", head)
    head = re.sub(r"^\W*(\w+)", lambda match: imperative(match[1].lower()), head)
    return not _IDENTIFIER.search(head) or repeats_name(head, facts.name)


def _is_quotable(code: str, hidden: frozenset[str] = frozenset()) -> bool:
    """Whether a sentence may quote code: short, and without local variables, which a reader does not know."""
    is_short = 0 < len(code) <= _MOST_CODE and code != "?"
    is_plain = not any(mark in code for mark in ("`", "*/", '"""', "err != nil"))
    return is_short and is_plain and hidden.isdisjoint(_IDENTIFIER.findall(code))


def _english(expression: str, style: DocumentationStyle) -> str:
    match = _CALL.fullmatch(expression)
    if match and match[1] in _CALLED:
        return f"{_CALLED[match[1]]} {style.literal}{match[2]}{style.literal}"
    if _YES_OR_NO.search(expression) and expression not in ("True", "False", "true", "false"):
        return f"whether {style.literal}{expression}{style.literal}"
    return f"{style.literal}{expression}{style.literal}"


def _sections(facts: UnitFacts, style: DocumentationStyle) -> str:
    """The parameters in the team's form and words, if it has described each of them elsewhere."""
    described = [(each.name, style.glossary.get(each.name)) for each in facts.parameters]
    if style.sections == "none" or not described or any(text is None for _, text in described):
        return ""
    if style.sections == "google":
        return "\n\nArgs:\n" + "\n".join(f"    {name}: {text}" for name, text in described)
    form = ":param {}: {}" if style.sections == "sphinx" else "@param {} {}"
    return "\n\n" + "\n".join(form.format(name, text) for name, text in described)


def generated_documentation(
    output: str, facts: UnitFacts, style: DocumentationStyle, knows: Callable[[str], bool]
) -> str | None:
    """The whole sentences of a model's first paragraph that name only what exists, or None."""
    text = fold_whitespace(first_paragraph(_COMMENT.sub("", output.strip().split("\n\n")[0])))
    sentences: list[str] = []
    for sentence in _SENTENCE.split(text):
        is_whole = sentence[-1:] in ".!?" or len(text.split()) == len(sentence.split()) < 16
        if is_whole and not _NOT_PROSE.match(sentence) and not unknown_names(sentence, facts, knows):
            sentences += [sentence] if sentence not in sentences else []
    text = " ".join(sentences[:_MOST_SENTENCES])
    return style.styled(text, facts.name) if text else None


def borrowed_documentation(unit: DocumentedUnit, facts: UnitFacts, style: DocumentationStyle) -> str | None:
    """The first paragraph of another unit's documentation, with its name replaced."""
    text = re.sub(rf"\b{re.escape(unit.name)}\b", facts.name, first_paragraph(unit.docstring))
    return style.styled(fold_whitespace(text), facts.name) if text else None


def unknown_names(text: str, facts: UnitFacts, knows: Callable[[str], bool]) -> list[str]:
    """Names in a text that neither unit, project nor language has, and described parameters that do not exist."""
    parameters = {each.name for each in facts.parameters}
    unknown = [name for name in described_parameters(text) if name not in parameters]
    for match in _PARAMETER.finditer(text):
        name = match[1] or match[2]
        if facts.is_function and name not in parameters and name not in facts.identifiers:
            unknown.append(name)
    quoted = [next(filter(None, match.groups()[1:])) for match in _QUOTED.finditer(text)]
    names = [name for code in quoted for name in _IDENTIFIER.findall(re.sub(r"(\"|').*?\1", "", code))]
    names += _CODE_WORD.findall(_QUOTED.sub(" ", text))
    for name in names:
        if name not in facts.identifiers and name not in _KNOWN_TO_ALL and name.lower() not in _KNOWN_TO_ALL:
            unknown += [] if knows(name) else [name]
    return list(dict.fromkeys(unknown))


def says_nothing(text: str, facts: UnitFacts) -> str | None:
    """Why a text does not document the unit: it only says the name, or repeats itself; None if it does."""
    words = _IDENTIFIER.findall(text)
    if len(words) < _LEAST_WORDS or _only_repeats_name(text, facts):
        return "it says no more than the name"
    return "it repeats itself" if 2 * len({word.lower() for word in words}) < len(words) else None


def parses_with(text: str, facts: UnitFacts) -> bool:
    documented = with_documentation(text, facts)
    return documented is not None and parse_unit(documented.encode(), facts.language, facts.unit.kind) is not None


def with_documentation(text: str, facts: UnitFacts) -> str | None:
    """The unit's code with a text as its documentation; None if the text would end the comment or string early."""
    code, language = facts.code, facts.language
    indent = code[: len(code) - len(code.lstrip(" \t"))]
    if language == "python":
        body = facts.body
        quotes = '"""'
        if body is None or quotes in text or text.endswith('"'):
            return None
        first = body.named_children[0] if body.named_children else body
        data, shift = (facts.root.text or b""), facts.root.start_byte
        inner = " " * first.start_point[1]
        if first.start_point[0] == facts.root.start_point[0]:  # its body stands beside the header
            inner = indent + "    "
        lines = textwrap.indent(text, inner).strip()
        literal = (
            f"{'r' if chr(92) in text else ''}{quotes}{lines}{f'{chr(10)}{inner}' if chr(10) in lines else ''}{quotes}"
        )
        docstring_start = first.start_byte - shift
        before, after = data[:docstring_start].decode().rstrip(), data[docstring_start:].decode()
        head = code[: code.index(data.decode())] if data.decode() in code else ""
        return f"{head}{before}\n{inner}{literal}\n{inner}{after}"
    if "*/" in text and language not in ("go", "rust"):
        return None
    text_lines = text.split("\n")
    if language in ("go", "rust"):
        mark = "//" if language == "go" else "///"
        comment = "\n".join(f"{indent}{mark} {line}".rstrip() for line in text_lines)
    else:
        comment = "\n".join([f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in text_lines), f"{indent} */"])
    return f"{comment}\n{code}"
