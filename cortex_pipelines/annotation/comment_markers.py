"""Evidence from a language's tree-sitter query, and the starts of parameters.

The captures of ``queries/<language>.scm``:

* ``@found.<label>``: a node that shows a label of ``labels.py``;
* ``@parameter``: a parameter; ``@receiver``: looks like a parameter and does not count.
"""

from pathlib import Path

from tree_sitter import Node

from cortex_pipelines.annotation.detector import Evidence, evidence
from cortex_pipelines.syntax.grammars import Grammar, matches

_QUERIES = Path(__file__).parent / "queries"
_FOUND = "found."


# tree-sitter counts levels in 16 bits; a deeper query would run for hours.
_MAX_DEPTH = 30_000


def marks_of(root: Node, grammar: Grammar, depth: int) -> tuple[set[Evidence], list[int]]:
    """Evidence in a file, and the start offsets of its parameters in order.

    Raises TooManyStepsError: the query takes more steps than any code needs.
    """
    if depth > _MAX_DEPTH:
        return set(), []
    marks: set[Evidence] = set()
    parameters: dict[int, Node] = {}
    receivers: set[int] = set()
    for _, captures in matches(grammar, root, _QUERIES):
        for name, nodes in captures.items():
            if name.startswith(_FOUND):
                marks |= {evidence(name.removeprefix(_FOUND), node) for node in nodes}
            elif name == "parameter":
                parameters |= {node.id: node for node in nodes}
            elif name == "receiver":
                receivers |= {node.id for node in nodes}
    return marks, _starts([node for key, node in parameters.items() if key not in receivers])


def _starts(parameters: list[Node]) -> list[int]:
    starts, last_end = [], -1
    for start, end in sorted((node.start_byte, node.end_byte) for node in parameters):
        if start >= last_end:
            starts.append(start)
            last_end = end
    return starts
