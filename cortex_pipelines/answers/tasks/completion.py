"""Continue code up to the end of the block or statement that it begins."""

from collections.abc import Iterator, Mapping, Sequence

from cortex_pipelines.answers.answer import Candidate, Check, Means, Task
from cortex_pipelines.answers.question import Question
from cortex_pipelines.config import Parameters
from cortex_pipelines.datasets.unit_text import LINE_COMMENTS
from cortex_pipelines.prompts.examples import StopRule


def prompt(question: Question, _: Parameters) -> tuple[Mapping[str, str], StopRule]:
    context = question.context
    values = {
        "given": question.text,
        "path": context.path,
        "comment": LINE_COMMENTS[question.language] if context.path else "",
        "code": context.code.rstrip("\n"),
    }
    extents: Mapping[str, StopRule] = {":": "indented", "{": "braced"}
    return values, extents.get(question.text.rstrip()[-1:], "statement")


def candidates(question: Question, means: Means) -> Iterator[Candidate]:
    values, extent = prompt(question, means.parameters)
    for generated in means.write(values, extent, sampled=means.alternatives):
        yield Candidate(generated.text, "model", generated.score)


def checks(_question: Question, _means: Means) -> Sequence[Check]:
    return [Check("says something", lambda each: None if each.result.strip() else "the model wrote nothing")]


TASK = Task(candidates, checks, prompt, "the model wrote nothing", code=None)
