from datetime import UTC, datetime

import polars as pl
import pytest
from ruamel.yaml import YAML

from cortex_pipelines.extraction.patterns.pattern import parse_pattern
from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks
from cortex_pipelines.extraction.patterns.proposals import propose_from_code, propose_from_history
from cortex_pipelines.extraction.patterns.statement_templates import (
    find_statements,
    recurring_groups,
    statement_template,
)
from cortex_pipelines.schemas.extraction import REFACTORING_PAIRS
from cortex_pipelines_tests.extraction.tables import repository_files
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)


def files(texts: dict[str, str], language: str = "python") -> pl.DataFrame:
    return repository_files({path: (language, text) for path, text in texts.items()}, source="s")


def pairs(changes: list[tuple[str, str, str]]) -> pl.DataFrame:
    rows = [
        {
            **dict.fromkeys(REFACTORING_PAIRS.schema),
            **{"pair_id": f"p{number}", "commit": commit, "language": "python"},
            **{"committed_at": datetime(2026, 1, 1, tzinfo=UTC), "before": old, "after": new},
        }
        for number, (commit, old, new) in enumerate(changes)
    ]
    return pl.DataFrame(rows, schema=REFACTORING_PAIRS.schema)


def function(line: str, name: str = "f") -> str:
    return f"def {name}(self):\n    prepare({name!r})\n    {line}\n    return 1\n"


def test_what_recurs_in_commits_keeps_its_names_and_generalises_the_rest() -> None:
    changed = [
        ("c1", function("x = str(path)"), function("x = os.fspath(path)")),
        ("c2", function("self.load(str(place))"), function("self.load(os.fspath(place))")),
        ("c3", function("use(str(self.root), 3)"), function("use(os.fspath(self.root), 3)")),
        ("c3", function("y = old(1)"), function("y = new(2, 3)")),
    ]
    (proposal,) = propose_from_history(pairs(changed), files({}), 2)
    assert (proposal.pattern.counter_example, proposal.pattern.example) == ("str($$$A)", "os.fspath($$$A)")
    assert proposal.occurrences == ("c1", "c2", "c3")
    assert propose_from_history(pairs(changed), files({}), 4) == []


def test_what_the_code_is_still_full_of_is_not_proposed() -> None:
    changed = [
        (f"c{number}", function(f"x = str(p{number})"), function(f"x = os.fspath(p{number})")) for number in range(3)
    ]
    more_old_form = files({"a.py": "a = str(b)\nc = str(d)\ne = os.fspath(g)\n"})
    assert propose_from_history(pairs(changed), more_old_form, 3) == []
    more_new_form = files({"a.py": "a = str(b)\nc = os.fspath(d)\ne = os.fspath(g)\n"})
    assert len(propose_from_history(pairs(changed), more_new_form, 3)) == 1


def test_statements_with_names_of_the_project_are_proposed_from_files() -> None:
    texts = {
        f"t{number}.py": f"def test_{number}(shop):\n"
        f"    with shop.opened('{number}', at={number}) as desk:\n"
        f"        desk.sell({number})\n        done({number})\n"
        f"    print('{number}')\n"
        for number in range(3)
    }
    called = dict.fromkeys(texts, ("opened", "desk", "sell"))
    proposals = propose_from_code(files(texts), called, 3)
    assert [proposal.pattern.example for proposal in proposals] == CASES["statements_with_names_of_the_project"]
    assert proposals[0].pattern.counter_example is None
    assert proposals[0].occurrences == ("t0.py", "t1.py", "t2.py")
    assert propose_from_code(files(texts), called | {"t0.py": (), "t1.py": ()}, 3) == []  # they call another's
    assert propose_from_code(files(dict(reversed(texts.items()))), called, 3) == proposals
    # `desk.sell($A)` says too little
    (only,) = propose_from_code(files(texts), dict.fromkeys(texts, ("opened", "sell")) | {"shop.py": ("shop",)}, 3)
    assert (only.names, only.pattern.when) == ({"opened"}, "Wherever opened is used.")


@pytest.mark.parametrize(("language", "text", "example"), CASES["braces_and_other_languages"])
def test_braces_and_other_languages(language: str, text: str, example: str) -> None:
    texts = {f"f{number}": text.format(number) for number in range(3)}
    called = dict.fromkeys(texts, ("shop", "open", "Shop", "Open"))
    proposals = propose_from_code(files(texts, language), called, 3)
    assert example in [proposal.pattern.example for proposal in proposals]


def test_a_proposal_is_a_file_that_is_a_pattern() -> None:
    # a name has to stay for a change to be told from any other
    line = "if a{} .eq {} None:\n        go()"
    changed = [(f"c{n}", function(line.format(n, "==")), function(line.format(n, "is"))) for n in range(7)]
    (proposal, *_) = propose_from_history(pairs(changed), files({}), 3)
    text = proposal.as_yaml()
    assert "seen in 7 commits: c0, c1, c2, c3, c4, …" in text
    pattern = parse_pattern(YAML(typ="safe", pure=True).load(text))
    assert pattern == proposal.pattern
    assert PatternChecks([pattern]).violated_patterns("if b.eq == None:\n    go()\n", "python")


def test_shapes_with_comments_or_errors_are_passed_over() -> None:
    broken, commented = (find_statements("x = f(\ny = 1", "python"), find_statements("f(  # a\n 1)", "python"))
    assert all(statement_template(node, False) is None for node in [*broken, *commented])
    (node,) = find_statements("f(1)", "python")
    shape = statement_template(node, True)
    assert [token.kind for token in shape.tokens] == ["name", "fixed", "arguments", "fixed"]
    (group,) = recurring_groups([("a", [shape]), ("b", [shape])], 2)
    assert (group.texts, group.names) == (("f($$$A)",), ("f",))
