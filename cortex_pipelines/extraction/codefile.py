"""Extract the units of one code file."""

from hashlib import blake2b

from cortex_pipelines.extraction.nesting import Unit, nested_units
from cortex_pipelines.extraction.outline import outline
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.syntax.grammars import TooManyStepsError, grammar_for
from cortex_pipelines.syntax.unparsable import SkipReason, syntax_tree


def read_code(
    text: str | bytes, language: str, path: str, settings: ExtractionSettings
) -> tuple[list[Unit], SkipReason | None]:
    """Units of one file, with test cases that are none (``it("…", …)``, kind ``test``); or why it was not parsed."""
    data = text.encode(errors="replace") if isinstance(text, str) else text
    grammar = grammar_for(language, path)
    tree = syntax_tree(data, grammar, settings.max_file_bytes)
    if isinstance(tree, SkipReason):
        return [], tree
    try:
        file_outline = outline(tree.root_node, grammar, data)
    except TooManyStepsError as error:
        return [], SkipReason("too_many_steps", str(error))
    return nested_units(data, file_outline, settings), None


def unit_id(source: str, path: str, blob: str, unit: Unit) -> str:
    """Identifier of a unit: a hash of its file, kind, name and span."""
    location = f"{unit.kind}\0{unit.name}\0{unit.start_byte}\0{unit.end_byte}"
    identity = f"{source}\0{path}\0{blob}\0{location}".encode(errors="replace")
    return blake2b(identity, digest_size=16).hexdigest()
