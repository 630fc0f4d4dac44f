"""Say what a unit does, in one paragraph without comment signs."""

from collections.abc import Iterator, Mapping, Sequence

from cortex_pipelines.answers.answer import Candidate, Check, Means, Task
from cortex_pipelines.answers.question import Question
from cortex_pipelines.config import Parameters
from cortex_pipelines.datasets.unit_text import LINE_COMMENTS
from cortex_pipelines.prompts.examples import StopRule


def prompt(question: Question, _: Parameters) -> tuple[Mapping[str, str], StopRule]:
    values = {
        "given": question.text.rstrip(),
        "path": question.context.path,
        "comment": LINE_COMMENTS[question.language],
    }
    return values, "paragraph"


def candidates(question: Question, means: Means) -> Iterator[Candidate]:
    values, extent = prompt(question, means.parameters)
    for written in means.write(values, extent, sampled=1):
        yield Candidate(written.text, "model", written.score)


def checks(_question: Question, _means: Means) -> Sequence[Check]:
    return [Check("says something", lambda each: None if each.result.strip() else "the model wrote nothing")]


TASK = Task(candidates, checks, prompt, "nobody here knows what it does")
