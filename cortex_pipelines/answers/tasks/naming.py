"""Find a name: by the value, by the model, and by the team's names in similar code."""

import builtins
import re
from collections.abc import Iterator, Mapping, Sequence

from cortex_pipelines.answers.answer import Candidate, Check, Means, NoAnswerError, Task
from cortex_pipelines.answers.names import named_by_value, restyled
from cortex_pipelines.answers.question import Question, TaskContext, TaskError
from cortex_pipelines.answers.team import TYPES
from cortex_pipelines.answers.unit import CodeUnit, UnitError, keywords, parse_code
from cortex_pipelines.augmentation.node_table import split_words
from cortex_pipelines.config import Parameters
from cortex_pipelines.datasets.tasks.naming import masked, naming_example, style_of
from cortex_pipelines.prompts.examples import StopRule
from cortex_pipelines.words import split_name

PLACEHOLDER = "name_to_be_found"
"""Stands where the input has the mask, so that it parses."""

_GRAMMAR = 'answer ::= [A-Za-z_] [A-Za-z0-9_]{0,39} "\\n"?'
"""The identifiers that all six languages share, at most 40 characters."""

_SAMPLED = 3
_LEAST_SIMILARITY = 0.5
_MOST_WORDS = 5
_NAME = re.compile(r"[A-Za-z_]\w*")
_MORE_THAN_A_PROMPT = 10_000
_SAYS_NOTHING = split_words("tmp temp foo bar baz var val obj stuff thing something name name_to_be_found")


def code_of(text: str, context: TaskContext, parameters: Parameters) -> str:
    """The unit with a placeholder where the mask is."""
    mask, code = parameters.datasets.mask, context.unit or text
    if mask not in code and not context.name.strip():
        raise TaskError(
            f"input: put {mask} where the name belongs, or name it as context.name, which has to stand in the code"
        )
    return code.replace(mask, PLACEHOLDER)


def target_name(question: Question) -> str:
    return question.context.name or PLACEHOLDER


def kind_of(question: Question) -> str:
    """Kind of the named thing, as in the data set, from the context or else from the code."""
    name, unit = target_name(question), question.code
    if question.context.kind:
        return question.context.kind
    for function in unit.functions:
        if function.name == name:
            return "function" if function.kind == "function" else "method"
    if types := [each.kind for each in unit.types if each.name == name]:
        return types[0] if types[0] in TYPES else "class"
    return "constant" if style_of(name) == "UPPER_CASE" and len(name) > 1 else "variable"


def prompt(question: Question, parameters: Parameters) -> tuple[Mapping[str, str], StopRule]:
    unit = {"language": question.language, "context": "", "indent": "", "code": question.code.code}
    size = len(question.code.code.encode()) + _MORE_THAN_A_PROMPT
    room = parameters.datasets.model_copy(update={"max_prompt_bytes": size})
    example = naming_example(unit, kind_of(question), target_name(question), room)
    if example is None:  # such as of `a`
        raise NoAnswerError(f"the model cannot be asked for {target_name(question)}, a word of the question itself")
    return {"example": example}, "line"


def candidates(question: Question, means: Means) -> Iterator[Candidate]:
    unit, name, kind = question.code, target_name(question), kind_of(question)
    if not unit.word_counts[name]:
        raise NoAnswerError(f"{name} does not stand in the code")
    style = _style(question, means)

    def styled(text: str) -> str:
        return restyled(text, style, like=name if name != PLACEHOLDER else "") if _NAME.fullmatch(text) else text

    if (by_value := named_by_value(unit, name)) is not None:
        yield Candidate(styled(by_value.name), "analyser", by_value.score)
    values, extent = prompt(question, means.parameters)
    for example, similarity in means.team.nearest("naming", question.language, values["example"]):
        if similarity >= _LEAST_SIMILARITY and example.kind == kind:
            yield Candidate(styled(example.completion.strip()), "team", similarity)
    for generated in means.write(values, extent, grammar=_GRAMMAR, sampled=_SAMPLED):
        yield Candidate(styled(generated.text.strip()), "model", generated.score)


def checks(question: Question, means: Means) -> Sequence[Check]:
    unit, name = question.code, target_name(question)
    names_in_scope = {text.decode(errors="replace") for kind, text in unit.snippet.tokens if "identifier" in kind}
    names_in_scope |= set(re.findall(r"\w+", question.context.code))
    names_in_scope |= keywords(question.language) | set(dir(builtins) if question.language == "python" else ())
    known_words = {word.lower() for each in unit.word_counts if each != name for word in split_name(each)}
    style = _style(question, means)

    def is_a_name(candidate: Candidate) -> str | None:
        result, words = candidate.result, [word.lower() for word in split_name(candidate.result)]
        if len(words) > _MOST_WORDS or len(set(words)) < len(words) or result.lower() in keywords(question.language):
            return f"{result[:40]!r} is not a name that a person would give"
        if _NAME.fullmatch(result) and len(result.strip("_")) > 1 and result.lower() not in _SAYS_NOTHING:
            return None
        return f"{result[:40]!r} says nothing"

    def is_free(candidate: Candidate) -> str | None:
        if candidate.result == name:
            return f"{name} is the name that nobody here would change"
        return f"{candidate.result} is taken" if candidate.result in names_in_scope else None

    def is_familiar(candidate: Candidate) -> str | None:
        words = {word.lower() for word in split_name(candidate.result) if len(word) > 1}
        if candidate.source != "model" or words <= known_words | means.team.name_words:
            return None
        return f"{candidate.result} has words that neither the code nor the team uses"

    def follows(candidate: Candidate) -> str | None:
        fits = not style or style_of(candidate.result) in (
            style,
            "lower" if style in ("snake_case", "camelCase") else style,
        )
        return None if fits else f"{candidate.result} is not {style}, as such names are here"

    def parses(candidate: Candidate) -> str | None:
        try:
            renamed(unit, name, candidate.result)
        except UnitError as error:
            return f"with {candidate.result} the code {error}"
        return None

    return [
        Check("is a name", is_a_name),
        Check("free in scope", is_free),
        Check("in words of the code or the team", is_familiar),
        Check("follows convention", follows),
        Check("parses", parses),
    ]


def renamed(unit: CodeUnit, name: str, new: str) -> CodeUnit:
    """The unit with a name replaced. Raises UnitError if it no longer parses."""
    return parse_code(masked(unit.code, name, new), unit.language, unit.path)


def _style(question: Question, means: Means) -> str:
    """Required style of the new name; in Go the case shows whether it is exported."""
    name, kind = target_name(question), kind_of(question)
    if question.language == "go" and name != PLACEHOLDER:
        return "PascalCase" if name[:1].isupper() else "camelCase"
    return means.team.convention(kind, question.language)


TASK = Task(candidates, checks, prompt, "nobody here knows a better name", code_of, learned_only=True)
