"""The rules of a check.

On by default are those of which 80 % or more of the findings in real projects were right (docs/guides/check.md), and
those without a finding there whose fixes are verified.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from cortex_pipelines.annotation.labels.vocabulary import LABELS

LIMITED = frozenset(
    {"complex-condition", "complex-method", "deep-nesting", "feature-envy", "god-class", "long-method"}
    | {"long-parameter-list"}
)
"""Labels of what exceeds a limit of ``annotation`` in params.yaml: they are in the reports of that stage."""


class UnknownRuleError(ValueError):
    pass


@dataclass(frozen=True)
class Rule:
    name: str
    explanation: str  # a sentence
    default: bool


_DEFAULT_SMELLS = frozenset(
    {"collapsible-if", "commented-out-code", "dead-code", "else-after-return", "mutable-default", "range-len-loop"}
    | {"redundant-boolean", "string-concat-in-loop", "swallowed-exception"}
)
_SMELLS = [
    Rule(name, label.explanation, name in _DEFAULT_SMELLS)
    for name, label in LABELS.items()
    if label.kind != "pattern" and name not in LIMITED
]
_PROJECT_RULES = (
    Rule("documentation-style", "Documentation has another form than nearly all of the project's.", True),
    Rule("existing-function", "Another function of the project does the same.", True),
    Rule("forbidden-import", "An import against the direction that the project's imports have.", True),
    Rule("missing-documentation", "Nearly all of the project's units of this kind are documented.", True),
    Rule("naming", "A new name of another form than nearly all of the project's.", False),
    Rule("pattern", "The counter-example of one of the team's patterns.", True),
)
RULES = {rule.name: rule for rule in (*_SMELLS, *_PROJECT_RULES)}
DEFAULT = frozenset(rule.name for rule in RULES.values() if rule.default)


def selected_rules(select: Iterable[str] = (), ignore: Iterable[str] = ()) -> frozenset[str]:
    """The default rules with those selected, without those ignored; ``all`` stands for every rule.

    Raises UnknownRuleError for a name that no rule has.
    """
    return (DEFAULT | _resolve(select)) - _resolve(ignore)


def _resolve(names: Iterable[str]) -> frozenset[str]:
    rules: set[str] = set()
    for name in names:
        if name == "all":
            rules |= RULES.keys()
        elif name in RULES:
            rules.add(name)
        else:
            suggestions = get_close_matches(name, RULES, n=1)
            hint = f"did you mean {suggestions[0]}?" if suggestions else "`cortex check --rules` lists them"
            raise UnknownRuleError(f"no rule {name!r}; {hint}")
    return frozenset(rules)


def explanation_of(name: str) -> str:
    """What a rule means; ``pattern/NAME`` is a pattern of the team."""
    return RULES[name.partition("/")[0]].explanation
