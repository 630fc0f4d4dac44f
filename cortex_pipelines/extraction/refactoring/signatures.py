"""Compare the parameter lists of a function."""

from dataclasses import dataclass

from cortex_pipelines.extraction.refactoring.model import Function, Parameter, identifier_words
from cortex_pipelines.extraction.refactoring.pairing.similarity import name_similarity

_MIN_NAME_SIMILARITY = 0.6


@dataclass(frozen=True)
class Signature:
    """The difference between two parameter lists.

    Args:
        renamed: Parameters that go by another name.
        added, removed: Parameters of one side only.
        split: Parameters replaced by several that add a suffix to their name.
        reordered: Whether the shared parameters changed their order.
    """

    renamed: list[tuple[Parameter, Parameter]]
    added: list[Parameter]
    removed: list[Parameter]
    split: list[tuple[Parameter, list[Parameter]]]
    reordered: bool


def compare_signatures(
    old_function: Function, new_function: Function, body_renames: dict[str, str], bound: tuple[set[str], set[str]]
) -> Signature:
    """Compare the parameters of two versions of a function.

    Args:
        old_function, new_function: The versions.
        body_renames: Names before that the bodies show as renamed, to their names after.
        bound: Variables that the bodies bind, before and after: a parameter that becomes one is
            localized, not removed; a parameter that was one is not added.
    """
    before = {parameter.name: parameter for parameter in old_function.parameters}
    after = {parameter.name: parameter for parameter in new_function.parameters}
    pairs = {
        name: new_name
        for name, new_name in body_renames.items()
        if name in before and name not in after and new_name in after and new_name not in before
    }
    removed = [old for name, old in before.items() if name not in after and name not in bound[1]]
    added = [fresh for name, fresh in after.items() if name not in before and name not in bound[0]]
    split = [(parameter, parts) for parameter in removed if len(parts := _parts(parameter, added)) > 1]
    split_names = {old.name for old, _ in split} | {part.name for _, parts in split for part in parts}
    pairs = {name: to for name, to in pairs.items() if split_names.isdisjoint((name, to))}
    explained_names = split_names | set(body_renames) | set(body_renames.values())
    removed = [parameter for parameter in removed if parameter.name not in explained_names]
    added = [parameter for parameter in added if parameter.name not in explained_names]
    for parameter, partner in _pair_remaining(old_function, new_function, removed, added):
        pairs[parameter.name] = partner.name
    return Signature(
        [(before[name], after[to]) for name, to in pairs.items()],
        [parameter for parameter in added if parameter.name not in pairs.values()],
        [parameter for parameter in removed if parameter.name not in pairs],
        split,
        _reordered(before, after),
    )


def _parts(parameter: Parameter, added: list[Parameter]) -> list[Parameter]:
    """Added parameters named as this one with a suffix: ``low`` and ``high`` of a ``range``."""
    words = identifier_words(parameter.name)
    return [
        other for other in added if identifier_words(other.name)[: len(words)] == words != identifier_words(other.name)
    ]


def _pair_remaining(
    old_function: Function, new_function: Function, removed: list[Parameter], added: list[Parameter]
) -> list[tuple[Parameter, Parameter]]:
    scored = []
    one_sided = min(len(removed), len(added)) == 1
    used_names = _texts_used(old_function), _texts_used(new_function)
    for parameter in removed:
        for partner in added:
            # a variadic parameter is never a new name of a single one
            if parameter.variadic_marker != partner.variadic_marker or not _types_agree(parameter.type, partner.type):
                continue
            name = name_similarity(parameter.name, partner.name)
            same_position = one_sided and _has_same_position(
                old_function, new_function, parameter, partner, len(removed) == len(added)
            )
            is_unused = parameter.name not in used_names[0] or partner.name not in used_names[1]
            single = len(removed) == len(added) == 1
            if same_position or ((is_unused or single) and name >= _MIN_NAME_SIMILARITY):
                scored.append((-name - same_position, parameter.name, partner.name, parameter, partner))
    pairs: dict[str, tuple[Parameter, Parameter]] = {}
    paired_names: set[str] = set()
    for *_, parameter, partner in sorted(scored, key=lambda item: item[:3]):
        if parameter.name not in pairs and partner.name not in paired_names:
            pairs[parameter.name] = parameter, partner
            paired_names.add(partner.name)
    return list(pairs.values())


def _types_agree(first: str, second: str) -> bool:
    """Whether types are the same, or one is not written or an alternative of the other."""
    short, long = sorted((first.removeprefix(":").strip(), second.removeprefix(":").strip()), key=len)
    if not short or short == long:
        return True
    return long.startswith(f"{short} |") or long.endswith(f"| {short}") or f"| {short} |" in long


def _texts_used(function: Function) -> set[str]:
    return {text for statement in function.statements for text in statement.texts}


def _has_same_position(
    old_function: Function, new_function: Function, parameter: Parameter, partner: Parameter, single: bool
) -> bool:
    old_position, new_position = (old_function.parameters.index(parameter), new_function.parameters.index(partner))
    from_end = old_position - len(old_function.parameters) == new_position - len(new_function.parameters)
    return old_position == new_position or (single and from_end)


def _reordered(before: dict[str, Parameter], after: dict[str, Parameter]) -> bool:
    return [name for name in before if name in after] != [name for name in after if name in before]
