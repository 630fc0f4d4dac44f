import shutil
import subprocess
from pathlib import Path

import pytest

from cortex_pipelines.augmentation.renaming.rename import locals_of, rename_locals
from cortex_pipelines.augmentation.snippets import parse_unit
from cortex_pipelines_tests.parameters import load_cases

TABLES = load_cases(__file__)


@pytest.mark.parametrize(
    ("language", "code", "names"),
    [(language, *case) for language, cases in TABLES["cases"].items() for case in cases.values()],
    ids=[f"{language}: {title}" for language, cases in TABLES["cases"].items() for title in cases],
)
def test_renames_exactly_what_is_sure(language: str, code: str, names: list[str]) -> None:
    kind = "method" if language == "java" else "function"
    snippet = parse_unit(code.encode(), language, kind)
    assert snippet is not None
    assert sorted({variable.name for variable in locals_of(snippet, kind)}) == names
    result = rename_locals(code, language, kind, "", 3)
    assert (result is None) == (not names)
    if result is not None:
        assert sorted({old for old, _ in result.renames}) == names


def test_a_unit_is_read_where_it_stands_by_the_grammar_of_its_file() -> None:
    code = "async go(a) {\n    const n = await a;\n    return n;\n  }"
    result = rename_locals(code, "javascript", "method", "", 1)
    assert result.renames[0][0] == "n"
    code = "handle = (a: number) => { const n = a; return n; }"
    result = rename_locals(code, "typescript", "function", "a.ts", 1)
    assert result is not None
    code = "function F() { const n = 1; return <div>{n}</div>; }"
    assert rename_locals(code, "typescript", "function", "a.tsx", 1) is not None
    assert rename_locals(code, "typescript", "function", "a.ts", 1) is None


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_a_renamed_program_does_the_same(tmp_path: Path) -> None:
    result = rename_locals(TABLES["PROGRAM"].strip(), "javascript", "function", "", 5)
    assert len(result.renames) >= 5
    outputs = []
    for code in (TABLES["PROGRAM"], result.code):
        script = tmp_path / "program.js"
        script.write_text(code + "\nconsole.log(f([3, 1, 4, 1, 5]));\n")
        outputs.append(subprocess.run(["node", str(script)], capture_output=True, text=True, check=True).stdout)
    assert outputs[0] == outputs[1]
