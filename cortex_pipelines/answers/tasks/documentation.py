"""Say what a unit does, in the team's style and without comment signs."""

from collections.abc import Iterator, Mapping, Sequence

from cortex_pipelines.answers.answer import Candidate, Check, Means, NoAnswerError, Task
from cortex_pipelines.answers.documentation_style import team_documentation
from cortex_pipelines.answers.documented_unit import (
    borrowed_documentation,
    documentation_from_facts,
    generated_documentation,
    parses_with,
    says_nothing,
    unknown_names,
)
from cortex_pipelines.answers.question import Question
from cortex_pipelines.answers.unit_facts import UnitFacts, unit_facts
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
    facts = _facts(question)
    if facts is None:
        raise NoAnswerError("it has no function, method or type; send one")
    team = team_documentation(means.team.outputs)
    style = team.style(question.language)
    if (nearest := team.nearest(facts)) is not None and (text := borrowed_documentation(nearest[0], facts, style)):
        yield Candidate(text, "team", nearest[1])
    if text := documentation_from_facts(facts, style):
        yield Candidate(text, "analyser")
    values, extent = prompt(question, means.parameters)
    for output in means.write(values, extent):
        if text := generated_documentation(output.text, facts, style, team.knows):
            yield Candidate(text, "model", output.score)


def checks(question: Question, means: Means) -> Sequence[Check]:
    facts, team = _facts(question), team_documentation(means.team.outputs)
    if facts is None:
        return []

    def names_exist(candidate: Candidate) -> str | None:
        unknown = unknown_names(candidate.result, facts, lambda name: name in question.context.code or team.knows(name))
        return f"it names what does not exist: {', '.join(unknown[:3])}" if unknown else None

    def follows(candidate: Candidate) -> str | None:
        return team.style(question.language).broken_convention(candidate.result, facts.name) or None

    def parses(candidate: Candidate) -> str | None:
        return None if parses_with(candidate.result, facts) else "the code does not parse with it"

    return [
        Check("names only what exists", names_exist),
        Check("says more than the name", lambda candidate: says_nothing(candidate.result, facts)),
        Check("follows the team's style", follows),
        Check("parses", parses),
    ]


def _facts(question: Question) -> UnitFacts | None:
    return unit_facts(question.code.code, question.language, question.context.path)


TASK = Task(
    candidates,
    checks,
    prompt,
    "its code says no more than its name, and nothing similar is documented",
    learned_only=True,
)
