import ast
import json
import re
from typing import Any

import nbformat
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

from cortex_pipelines.ingestion.files.notebooks import NotebookError, read_notebook
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)


def notebook(*cells: str | Any, language: str = "python") -> str:
    kernel = {"language": language, "name": "k", "display_name": "K"}
    document = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    for cell in cells:
        document.cells.append(nbformat.v4.new_code_cell(cell) if isinstance(cell, str) else cell)
    return nbformat.writes(document)


def test_code_cells_are_joined_below_a_mark() -> None:
    text = nbformat.v4.new_markdown_cell("# Title\nimport nothing")
    output = nbformat.v4.new_code_cell("b = 2", outputs=[nbformat.v4.new_output("stream", text="secret output")])
    found = read_notebook(notebook("a = 1\n\n", text, "", output))
    assert (found.language, found.text) == ("python", "# %% [1]\na = 1\n\n# %% [2]\nb = 2\n")


# Cells, and what is left of each as Python.
@pytest.mark.parametrize(("cell", "code"), CASES["MAGIC"])
def test_what_a_kernel_takes_is_python_with_the_same_lines(cell: str, code: str) -> None:
    text = read_notebook(notebook(cell, "end = 1")).text
    assert text.count("\n") == cell.rstrip("\n").count("\n") + 5
    assert ast.unparse(ast.parse(text)) == ast.unparse(ast.parse(f"{code}\nend = 1"))
    assert all(re.sub(r"^\s*(>>>|\.\.\.)? *", "", line) in text for line in cell.split("\n"))


@pytest.mark.parametrize("cell", CASES["operators_and_strings_that_look_like_magics_stay"])
@pytest.mark.parametrize("magic", ["", "%matplotlib inline\n", "!echo '(\n"])
def test_operators_and_strings_that_look_like_magics_stay(magic: str, cell: str) -> None:
    text = read_notebook(notebook(magic + cell)).text
    assert cell in text
    assert ast.unparse(ast.parse(text)) == ast.unparse(ast.parse(cell))


def test_a_statement_that_needs_the_value_of_a_magic_keeps_the_call() -> None:
    text = read_notebook(notebook("d[\n  'x'\n] = !ls \\\n  -la\nx = 1")).text
    call = "] = get_ipython().getoutput('ls    -la')"
    assert text == f"# %% [1]\nd[\n  'x'\n{call}\n#   -la\nx = 1\n"


def test_a_cell_that_is_not_python_keeps_its_text() -> None:
    assert read_notebook(notebook("%time\nprint 'two'")).text == "# %% [1]\n# %time\nprint 'two'\n"


def _runs(cell: str) -> bool:
    """Whether the kernel's own translation of a cell, and of what a cell magic runs, is Python."""
    try:
        ast.parse(TransformerManager().transform_cell(cell))
    except (SyntaxError, ValueError):
        return False
    first, _, body = cell.lstrip("\n").partition("\n")
    return not first.startswith("%%time") or _runs(body)


PIECES = ["x = 1", "!ls \\", "  -l", "%time y", "if x:", "    pass", "    !ls", "else:", "'''"]
PIECES += ["x = !ls '", "%%time", "%%bash", "x?", "", "# why", "d[1] = %who", "x = (", ")", "% y"]
PIECES += ["    %sx \\", "    if y:", "            !ls", "        z = 1", ">>> x", "if x: y = !ls"]


@settings(derandomize=True, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=9).map("\n".join).filter(str.strip))
def test_what_is_python_to_ipython_is_python_with_the_same_lines(cell: str) -> None:
    assume(_runs(cell))
    text = read_notebook(notebook(cell)).text
    ast.parse(text)
    assert text.count("\n") == cell.rstrip("\n").count("\n") + 2


def test_a_cell_made_to_stall_ends_and_keeps_all_lines() -> None:
    cell = "x = (1,\n2)\n!ls '(\n" * 2_500
    assert read_notebook(notebook(cell)).text.count("\n") == cell.count("\n") + 1


def test_a_cell_that_is_python_already_is_left_alone() -> None:
    cell = "text = '''\n%d of 100\n!important\n'''\n"
    assert cell in read_notebook(notebook(cell)).text
    assert "# %matplotlib inline\n" in read_notebook(notebook(f"%matplotlib inline\n{cell}")).text


@pytest.mark.parametrize(("name", "language", "mark"), CASES["the_kernel_says_the_language"])
def test_the_kernel_says_the_language(name: str, language: str, mark: str) -> None:
    read = read_notebook(notebook("%x", language=name))
    assert read.language == language
    assert read.text.startswith(f"{mark} %% [1]\n")


def test_old_formats_are_read() -> None:
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["a = 1\n", "b = 2"]}]}]}
    assert read_notebook(json.dumps(old)).text == "# %% [1]\na = 1\nb = 2\n"
    assert read_notebook(json.dumps({"nbformat": 4})).text == ""


@pytest.mark.parametrize(
    "data", ["", "[]", "{", "null", '{"cells": 3}', '{"worksheets": 3}', '{"worksheets": [3]}', "[" * 10**6]
)
def test_what_is_no_notebook_is_said(data: str) -> None:
    with pytest.raises(NotebookError):
        read_notebook(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just("code"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["cells", "cell_type", "source", "metadata", "kernelspec", "language"]), inner, max_size=4
        )
    ),
    max_leaves=15,
)


@given(JSON)
def test_whatever_stands_in_it_is_read_or_refused(values: Any) -> None:
    try:
        read = read_notebook(json.dumps(values))
    except NotebookError:
        return
    read.text.encode("utf-8")


@given(st.lists(st.text(alphabet="ab%! =?\n'(", max_size=30), max_size=3))
def test_reading_is_the_same_again_and_keeps_all_lines(cells: list[str]) -> None:
    non_empty = [cell for cell in cells if cell.strip()]
    text = read_notebook(notebook(*cells)).text
    assert text == read_notebook(notebook(*cells)).text
    for number, cell in enumerate(non_empty, start=1):
        assert f"# %% [{number}]\n" in text
        for line in cell.rstrip("\n").split("\n"):
            assert line.lstrip() in text


def test_half_a_surrogate_pair_is_replaced() -> None:
    cells = [{"cell_type": "code", "source": "x = '\ud800'"}]
    assert read_notebook(json.dumps({"cells": cells})).text == "# %% [1]\nx = '?'\n"


def test_a_notebook_is_a_row_with_its_code_as_text(plain, read: Any) -> None:
    plain({"a.ipynb": notebook("a = 1"), "b.ipynb": "{}}", "c.ipynb": notebook("c = 1" + " " * 150_000)})
    tables = read({"directory": "plain"})
    assert tables.texts["a.ipynb"] == "# %% [1]\na = 1\n"
    assert tables.files.select("path", "language", "notebook").rows() == [
        ("a.ipynb", "python", True),
        ("c.ipynb", "python", True),
    ]
    assert tables.reasons == {"b.ipynb": "damaged_notebook"}
    assert read({"directory": "plain"}, max_notebook_bytes=9_000).reasons["c.ipynb"] == "too_large"
