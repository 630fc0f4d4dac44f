"""Grade a generated output by comparison with the reference."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import fsum
from typing import Any

from cortex_pipelines.evaluation.metrics.codebleu import (
    codebleu_without_dataflow,
    same_code,
    subtoken_f1,
    syntax_errors,
)
from cortex_pipelines.evaluation.metrics.edit_similarity import edit_similarity
from cortex_pipelines.evaluation.metrics.prose import word_f1
from cortex_pipelines.prompts.examples import Example
from cortex_pipelines.syntax.grammars import PARSED

_NAME = re.compile(r"[^\W\d][\w$]*")
# request in a prompt, and its rephrasing; languages differ only in the comment sign
_REPHRASED = (
    (re.compile(r"(\S+) is an? ([\w ]+)\. Its name:\n$"), r"What should the \2 \1 be called?\n"),
    (re.compile(r"This code has an error\.(?=\n)"), "There is a bug in this code."),
    (re.compile(r"The code put right:\n$"), "The code without the bug:\n"),
    (re.compile(r"May (.+) import (.+)\?$"), r"Is \1 allowed to import \2?"),
)


def grade(item: Example, output: str, mask: str) -> dict[str, Any]:
    """Grade columns of ``GENERATIONS``; ``mask`` is the placeholder of the name in a naming prompt."""
    expected = item.completion
    code = item.language in PARSED and item.form in ("completion", "refactoring", "tests")
    return {
        "syntax_correct": syntax_correct(item, output, mask),
        "exact_match": output.strip() == expected.strip(),
        "right": is_correct(item, output),
        "edit_similarity": edit_similarity(output, expected),
        "codebleu": codebleu_without_dataflow(output, expected, item.language) if code else None,
        "subtoken_f1": subtoken_f1(output, expected) if item.task == "naming" else None,
        "word_f1": word_f1(output, expected) if item.task == "documentation" else None,
    }


def syntax_correct(item: Example, output: str, mask: str) -> bool | None:
    """Whether the completed unit has no more syntax errors than the reference; None if it cannot be parsed.

    The code around a unit may be truncated and have errors of its own, which do not count.
    """
    if item.task in ("architecture", "documentation") or item.language not in PARSED:
        return None
    if not output.strip() or (item.task == "naming" and not _NAME.fullmatch(output.strip())):
        return False
    completed, truth = (_completed(item, text, mask) for text in (output, item.completion))
    errors = [syntax_errors(text, item.language, item.path) for text in (completed, truth)]
    return errors[0] <= errors[1]


def is_correct(item: Example, output: str) -> bool:
    """For imports only the verdict counts (``allowed`` or ``violation``), not the reason."""
    if item.task == "naming":
        return output.strip() == item.completion.strip()
    return same_answer(item, output, item.completion)


def same_answer(item: Example, first: str, second: str) -> bool:
    if item.task == "architecture" and item.kind == "violation":
        return verdict_of(first) == verdict_of(second)
    if item.task in ("naming", "architecture", "documentation"):
        return first.split() == second.split()
    return same_code(first, second, item.language)


def verdict_of(answer: str) -> str:
    return answer.partition(":")[0].strip().lower()


def rephrase(item: Example) -> Example | None:
    """The example with a rephrased request; None if the prompt has none."""
    prompt = item.prompt
    for pattern, words in _REPHRASED:
        prompt = pattern.sub(words, prompt)
    return replace(item, prompt=prompt) if prompt != item.prompt else None


def mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [float(row[name]) for row in rows if row[name] is not None]
    return fsum(values) / len(values) if values else None


def _completed(item: Example, output: str, mask: str) -> str:
    if item.task == "naming":
        return item.prompt.rpartition("\n\n")[0].replace(mask, output.strip())
    if item.form in ("refactoring", "tests"):
        lines = output.split("\n")
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        return "\n".join(line[indent:] for line in lines)
    return item.prompt + output
