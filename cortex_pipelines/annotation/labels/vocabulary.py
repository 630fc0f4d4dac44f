"""Vocabulary of labels: kind, subject and meaning.

``belief`` is the expected precision of a label according to the rule's author; the hand-labelled sample corrects it
(``agreement.py``).
"""

import re
from dataclasses import dataclass

from cortex_pipelines.words import split_name


@dataclass(frozen=True)
class Label:
    kind: str  # `pattern`; `smell` (harder to read or change); `anti-pattern` (known to fail)
    purpose: str | None  # purpose of fixing it (`schemas.PURPOSES`); None for a pattern
    belief: float  # prior probability that such a finding is right
    explanation: str  # its meaning, in a sentence


def _smell(belief: float, explanation: str, purpose: str = "smell") -> Label:
    return Label("smell", purpose, belief, explanation)


def _wrong(purpose: str, belief: float, explanation: str) -> Label:
    return Label("anti-pattern", purpose, belief, explanation)


def _pattern(belief: float, explanation: str) -> Label:
    return Label("pattern", None, belief, explanation)


NOT_IN_TESTS = frozenset(
    {
        *("await-in-loop", "broad-except", "complex-method", "console-output", "data-class", "debug-mode"),
        *("disabled-tls-verification", "feature-envy", "god-class", "hard-coded-bind", "ignored-error"),
        *("magic-number", "panic", "swallowed-exception", "unsafe-deserialization", "unwrap"),
    }
)
"""Labels of what is usual in a test."""

LABELS: dict[str, Label] = {
    # size and shape
    "long-method": _smell(0.95, "More lines than fit in one view."),
    "long-parameter-list": _smell(0.95, "More parameters than a caller can keep in mind."),
    "deep-nesting": _smell(0.95, "Control flow nested more deeply than one can follow."),
    "complex-method": _smell(0.95, "More paths than one can test or keep in mind."),
    "god-class": _smell(0.9, "More methods than one responsibility needs."),
    "data-class": _smell(0.7, "Only data and access to it; what is done with it lives elsewhere."),
    "feature-envy": _smell(0.6, "Uses another object's data far more than its own."),
    "boolean-flag": _smell(0.8, "A flag chooses between two functions in one."),
    # conditions
    "duplicate-condition": _smell(0.9, "A later branch asks what an earlier one has asked."),
    "duplicate-branches": _smell(0.9, "Two branches of one decision do the same."),
    "complex-condition": _smell(0.8, "A condition of many parts; give the parts a name.", "readability"),
    "nested-ternary": _smell(0.95, "A conditional expression inside of another.", "readability"),
    "collapsible-if": _smell(0.95, "Two conditions that could be one.", "readability"),
    "else-after-return": _smell(0.9, "The branch before it has left; no else is needed.", "readability"),
    "redundant-boolean": _smell(0.95, "Branches that only hand on what the condition says.", "readability"),
    "negated-operator": _smell(0.95, "`not x in y` reads better as `x not in y`.", "readability"),
    "none-by-equality": _smell(0.95, "`==` may be overloaded; None is one object, so `is`.", "readability"),
    "type-by-equality": _smell(0.85, "Compares types where a subclass should do too.", "readability"),
    "range-len-loop": _smell(0.85, "Counts through what could be gone through itself.", "readability"),
    "loose-equality": _smell(0.85, "`==` converts what it compares.", "readability"),
    "string-identity": _wrong("smell", 0.9, "`==` compares which strings they are, not what they say."),
    # text
    "magic-number": _smell(0.7, "A number whose meaning only its writer knows.", "readability"),
    "commented-out-code": _smell(0.8, "Code in a comment; version control keeps it better.", "readability"),
    "todo-comment": _smell(0.95, "A note that something is left to do.", "readability"),
    "dead-code": _wrong("smell", 0.95, "Never reached: what stands before it always leaves."),
    "wildcard-import": _smell(0.95, "One cannot see what names it brings.", "readability"),
    "var-declaration": _smell(0.95, "`var` is visible beyond its block.", "readability"),
    "any-type": _smell(0.9, "`any` turns the type checker off.", "readability"),
    "non-null-assertion": _smell(0.8, "Claims that a value is there without asking."),
    "console-output": _smell(0.75, "Prints where a log would be expected."),
    "goto": _smell(0.9, "Jumps to a label."),
    "with-statement": _wrong("smell", 0.95, "`with` makes it unclear what a name means."),
    # state and errors
    "global-state": _smell(0.9, "Changes what all share."),
    "mutable-default": _wrong("smell", 0.95, "The default is made once and shared by all calls."),
    "bare-except": _wrong("smell", 0.95, "Catches everything, the request to stop included."),
    "broad-except": _smell(0.8, "Catches more than it can know how to handle."),
    "swallowed-exception": _wrong("smell", 0.95, "An error is caught and nothing is done about it."),
    "print-stack-trace": _smell(0.9, "Prints an error instead of handling or logging it."),
    "ignored-error": _wrong("smell", 0.8, "An error is thrown away."),
    "panic": _smell(0.75, "Ends the program where an error could be handed on."),
    "unwrap": _smell(0.75, "Panics where a value is missing."),
    "unsafe": _smell(0.9, "The compiler's guarantees do not hold here.", "security"),
    "return-in-finally": _wrong("smell", 0.95, "Drops an exception that is on its way."),
    # security
    "dynamic-code": _wrong("security", 0.9, "Runs text as code; whoever writes the text is in charge."),
    "shell-injection": _wrong("security", 0.85, "A shell reads the command; its parts may be commands."),
    "sql-concatenation": _wrong("security", 0.85, "A query built from pieces; use placeholders."),
    "weak-hash": _wrong("security", 0.9, "MD5 and SHA-1 can be forged."),
    "unsafe-yaml": _wrong("security", 0.95, "Loading may build any object; use safe_load."),
    "unsafe-deserialization": _wrong("security", 0.85, "Reading foreign data this way runs its code."),
    "hard-coded-bind": _wrong("security", 0.85, "Listens on every network interface."),
    "disabled-tls-verification": _wrong("security", 0.95, "Any server that answers is trusted."),
    "path-traversal": _wrong("security", 0.7, "A path from outside is opened as it comes."),
    "raw-html": _wrong("security", 0.85, "Puts text into a page as HTML."),
    "debug-mode": _wrong("security", 0.85, "A debugger for whoever can reach the server."),
    "insecure-temp-file": _wrong("security", 0.9, "Between naming and opening it another may put a file there."),
    # performance
    "string-concat-in-loop": _wrong("performance", 0.85, "Copies the text in each round."),
    "list-membership-in-loop": _wrong("performance", 0.8, "Searches a list in each round; use a set."),
    "regex-compile-in-loop": _wrong("performance", 0.9, "Compiles the same expression in each round."),
    "query-in-loop": _wrong("performance", 0.75, "One query a round; ask for all at once."),
    "await-in-loop": _wrong("performance", 0.8, "Waits for each before it starts the next."),
    "defer-in-loop": _wrong("performance", 0.9, "Runs only when the function ends, all at once."),
    # patterns
    "adapter": _pattern(0.8, "Gives one interface the shape of another."),
    "async-await": _pattern(0.95, "Waits without blocking."),
    "builder": _pattern(0.85, "Sets up an object step by step; each step hands on the builder."),
    "chain-of-responsibility": _pattern(0.8, "Hands on to the next handler what it does not handle."),
    "channel-select": _pattern(0.95, "Waits for the first of several channels."),
    "command": _pattern(0.8, "An action as an object."),
    "composite": _pattern(0.85, "Does for each of its parts what the whole should do."),
    "context-manager": _pattern(0.95, "Sets up and tears down around a block."),
    "conversion": _pattern(0.95, "Makes one type from another by the language's own trait."),
    "decorator": _pattern(0.85, "Wraps something in the same interface."),
    "default-value": _pattern(0.95, "States a type's default."),
    "dependency-injection": _pattern(0.85, "Is given what it works with."),
    "descriptor": _pattern(0.95, "Takes over access to an attribute."),
    "dispatch": _pattern(0.95, "Chooses an implementation by the argument's type."),
    "factory": _pattern(0.75, "Makes objects for others."),
    "functional-options": _pattern(0.85, "An option as a function that sets it."),
    "generator": _pattern(0.95, "Makes values as they are asked for."),
    "goroutine": _pattern(0.95, "Runs beside its caller."),
    "hook": _pattern(0.9, "State and effects of a component as functions."),
    "iterator": _pattern(0.9, "Goes through elements one by one."),
    "memoisation": _pattern(0.95, "Remembers results."),
    "mixin": _pattern(0.9, "Adds behaviour to classes that inherit from it."),
    "observer": _pattern(0.8, "Tells those who asked to be told."),
    "proxy": _pattern(0.85, "Stands for another object."),
    "repository": _pattern(0.85, "A collection of stored objects."),
    "resource-management": _pattern(0.95, "Gives back what it has taken."),
    "singleton": _pattern(0.85, "One object for all."),
    "strategy": _pattern(0.8, "One of several ways, behind one interface."),
    "template-method": _pattern(0.85, "Leaves steps to its subclasses."),
    "value-object": _pattern(0.9, "Named values, declared as such."),
    "visitor": _pattern(0.8, "A method for each kind of element."),
}

_SENTENCE_END = re.compile(r"(?<=[.!?。])\s|\n\s*\n|\n\s*(?:[@:]\w|Args:|[-*] )")
_INLINE_TAG = re.compile(r"\{@\w+\s+([^{}]*)\}")
_MOST_CHARS = 100
_MARKUP = re.compile(r"<[^<>]{1,40}>|(?::\w+)+:`[.~!]?|[`*]")


def words_of(name: str) -> str:
    """Words of a name in any convention, in lower case: ``getHTTPUrl`` is ``get http url``."""
    return " ".join(split_name(name)).lower()


def first_sentence(docstring: str) -> str:
    """First sentence of documentation without markers, truncated at a word."""
    plain = _MARKUP.sub("", _INLINE_TAG.sub(r"\1", docstring[: 20 * _MOST_CHARS])).strip()
    sentence = " ".join(_SENTENCE_END.split(plain, maxsplit=1)[0].split()).rstrip(" .:")
    if len(sentence) <= _MOST_CHARS:
        return sentence
    return sentence[: _MOST_CHARS + 1].rpartition(" ")[0] or sentence[:_MOST_CHARS]
