import ast
import json
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

from cortex_pipelines.ingestion.files.notebooks import NotebookError, read_notebook


def notebook(*cells: str | Any, language: str = "python") -> str:
    kernel = {"language": language, "name": "k", "display_name": "K"}
    made = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    for cell in cells:
        made.cells.append(nbformat.v4.new_code_cell(cell) if isinstance(cell, str) else cell)
    return nbformat.writes(made)


def test_code_cells_are_joined_below_a_mark() -> None:
    text = nbformat.v4.new_markdown_cell("# Title\nimport nothing")
    output = nbformat.v4.new_code_cell(
        "b = 2", outputs=[nbformat.v4.new_output("stream", text="secret output")]
    )
    found = read_notebook(notebook("a = 1\n\n", text, "", output))
    assert found.language == "python"
    assert found.text == "# %% [1]\na = 1\n\n# %% [2]\nb = 2\n"


MAGIC = [
    "%matplotlib inline\nimport os",
    "!pip install x\nimport os",
    "if True:\n    %time f()\nelse:\n    !ls",
    "files = !ls\na, b = %who_ls",
    "%%time\nx = 1\n%load_ext y",
    "%%bash\necho 'no python' &&",
    "%%html\n<b>bold</b>",
    "os.path?\n?os\nos??",
    "text = '''\n%d of 100\n!important\n'''",
    "x = 5 % 3\ny = not x != 2",
]


@pytest.mark.parametrize("cell", MAGIC)
def test_what_a_kernel_takes_parses(cell: str) -> None:
    plain = read_notebook(notebook(cell, "end = 1")).text
    tree = ast.parse(plain)
    assert len(plain.splitlines()) == len(cell.splitlines()) + 4
    # the kernel's own translation has the same statements, but for the magics themselves
    if not cell.startswith("%%"):
        kernel = ast.parse(TransformerManager().transform_cell(cell))
        ours = [
            node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.If, ast.BinOp))
        ]
        theirs = [
            node for node in ast.walk(kernel) if isinstance(node, (ast.Import, ast.If, ast.BinOp))
        ]
        assert [type(node) for node in ours] == [type(node) for node in theirs]


def test_a_cell_that_is_python_already_is_left_alone() -> None:
    cell = "text = '''\n%d of 100\n!important\n'''\n"
    assert cell in read_notebook(notebook(cell)).text
    with_magic = f"%matplotlib inline\n{cell}"
    assert "# %matplotlib inline\n" in read_notebook(notebook(with_magic)).text


@pytest.mark.parametrize(
    ("name", "language", "mark"),
    [
        ("ipython3", "python", "#"),
        ("javascript", "javascript", "//"),
        ("rust", "rust", "//"),
        ("Go", "go", "//"),
        ("R", "r", "#"),
        ("whatever", "whatever", "//"),
    ],
)
def test_the_kernel_says_the_language(name: str, language: str, mark: str) -> None:
    found = read_notebook(notebook("%x", language=name))
    assert found.language == language
    assert found.text.startswith(f"{mark} %% [1]\n")


def test_old_formats_are_read() -> None:
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["a = 1\n", "b = 2"]}]}]}
    assert read_notebook(json.dumps(old)).text == "# %% [1]\na = 1\nb = 2\n"
    assert read_notebook(json.dumps({"nbformat": 4})).text == ""


@pytest.mark.parametrize(
    "data",
    [
        "",
        "[]",
        "{",
        "null",
        '{"cells": 3}',
        '{"worksheets": 3}',
        '{"worksheets": [3]}',
        "[" * 10**6,
    ],
)
def test_what_is_no_notebook_is_said(data: str) -> None:
    with pytest.raises(NotebookError):
        read_notebook(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just("code"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["cells", "cell_type", "source", "metadata", "kernelspec", "language"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(JSON)
def test_whatever_stands_in_it_is_read_or_refused(values: Any) -> None:
    try:
        found = read_notebook(json.dumps(values))
    except NotebookError:
        return
    found.text.encode("utf-8")


@given(st.lists(st.text(alphabet="ab%! =?\n'(", max_size=30), max_size=3))
def test_reading_is_the_same_again_and_keeps_all_lines(cells: list[str]) -> None:
    kept = [cell for cell in cells if cell.strip()]
    text = read_notebook(notebook(*cells)).text
    assert text == read_notebook(notebook(*cells)).text
    for number, cell in enumerate(kept, start=1):
        assert f"# %% [{number}]\n" in text
        for line in cell.rstrip("\n").split("\n"):
            assert line.lstrip() in text


def test_half_a_surrogate_pair_is_replaced() -> None:
    cells = [{"cell_type": "code", "source": "x = '\ud800'"}]
    assert read_notebook(json.dumps({"cells": cells})).text == "# %% [1]\nx = '?'\n"


def test_a_notebook_is_a_row_with_its_code_as_text(tmp_path: Any, read: Any) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/a.ipynb").write_text(notebook("a = 1"))
    (tmp_path / "plain/b.ipynb").write_text("{}}")
    (tmp_path / "plain/c.ipynb").write_text(notebook("c = 1" + " " * 150_000))
    tables = read({"directory": "plain"})
    assert tables.texts["a.ipynb"] == "# %% [1]\na = 1\n"
    assert tables.files.select("path", "language", "notebook").rows() == [
        ("a.ipynb", "python", True),
        ("c.ipynb", "python", True),
    ]
    assert tables.reasons == {"b.ipynb": "damaged_notebook"}
    assert read({"directory": "plain"}, max_notebook_bytes=9_000).reasons["c.ipynb"] == "too_large"
