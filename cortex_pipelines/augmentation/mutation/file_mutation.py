"""Generate all mutants of a file, each assigned to its innermost unit.

Apart from mutants of units, whose data does not depend on how a file is divided into units.
"""

from collections.abc import Iterator

from cortex_pipelines.augmentation.mutation.inject import Mutant, MutatedUnit, Site, sampled, sites
from cortex_pipelines.augmentation.node_table import NodeTable, split_words
from cortex_pipelines.augmentation.python_code import PythonUnit, header_for
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.augmentation.snippets import parse_file
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.extraction.units import file_units

_KINDS = split_words("function method class struct trait interface enum variable constant")


def mutate_code(
    code: bytes | str,
    language: str,
    path: str,
    extraction: ExtractionSettings,
    settings: AugmentationSettings,
    limit: int | None = None,
) -> list[Mutant]:
    """Mutants of a whole file in order, drawn by weight up to ``limit``; none of units above the maximum length."""
    data = code.encode() if isinstance(code, str) else code
    view = NodeTable(parse_file(data, language, path))
    spans = [(node.start_byte, node.end_byte, "") for node in view.nodes[0].named_children]
    for part in file_units(view.text, language, path, extraction):
        if part.kind in _KINDS:
            spans.append((part.start_byte, part.end_byte, part.name))
    # of two with one span the named one counts
    spans.sort(key=lambda span: (span[0], -span[1], span[2]))
    pairs = _assign_to_units(view, spans, settings.max_unit_bytes)
    if limit is None:
        mutants: dict[tuple[int, str], Mutant] = {}
        for unit, (operator, node) in pairs:
            for change in operator.edits_at(node, unit.view):
                mutant = unit.mutant(operator, change)
                if mutant is not None:
                    mutants.setdefault((mutant.start_byte, mutant.buggy_code), mutant)
        return sorted(mutants.values(), key=lambda mutant: (mutant.start_byte, -mutant.end_byte))
    return sampled(list(pairs), limit, settings.seed)


def _assign_to_units(
    view: NodeTable, units: list[tuple[int, int, str]], longest: int
) -> Iterator[tuple[MutatedUnit, Site]]:
    enclosing: list[MutatedUnit] = []
    coming = 0
    for operator, node in sites(view):
        while coming < len(units) and units[coming][0] <= node.start_byte:
            start, end, name = units[coming]
            coming += 1
            while enclosing and enclosing[-1].end <= start:
                enclosing.pop()
            enclosing.append(MutatedUnit(view, start, end, name, _python(view, start, end)))
        around = (unit for unit in reversed(enclosing) if unit.start <= node.start_byte and node.end_byte <= unit.end)
        holding = next(around, None)
        if holding is not None and holding.end - holding.start <= longest:
            yield holding, (operator, node)


def _python(view: NodeTable, start: int, end: int) -> PythonUnit | None:
    if view.language != "python":
        return None
    line = view.text[view.text.rfind(b"\n", 0, start) + 1 : start]
    prefix = b"if 1:\n" + line if line and not line.strip() else b""
    inside = view.by_type.get("nonlocal_statement", [])
    nonlocals = [node for node in inside if start <= node.start_byte and node.end_byte <= end]
    return PythonUnit(view.text[start:end], header_for(nonlocals, prefix))
