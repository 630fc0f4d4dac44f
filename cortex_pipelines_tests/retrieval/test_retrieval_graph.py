import json
import random
import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml

from cortex_pipelines.catalog import open_project
from cortex_pipelines.extraction.architecture.build import architecture_facts
from cortex_pipelines.extraction.settings import ArchitectureSettings, ExtractionSettings
from cortex_pipelines.extraction.units import extract
from cortex_pipelines.retrieval.graph.build import LEAST_TOGETHER, GraphNode, GraphTables, changed_together, code_graph
from cortex_pipelines.retrieval.graph.open_graph import project_graph
from cortex_pipelines.retrieval.graph.questions import CodeGraph, GraphNameError, is_public
from cortex_pipelines.retrieval.graph.references import expression, plain_type
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.serving.project_services import project_services
from cortex_pipelines.versioning.root import ProjectError
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.extraction.tables import repository_files
from cortex_pipelines_tests.parameters import load_cases, sections

CASES = load_cases(__file__)

_PARAMETERS = sections()
ARCHITECTURE = ArchitectureSettings(**_PARAMETERS["architecture"])
EXTRACTION = ExtractionSettings(**_PARAMETERS["extraction"])

SOURCES = yaml.safe_load((Path(__file__).parent / "graph_sources.yaml").read_text())
PYTHON: dict[str, str] = SOURCES["python"]["files"]


def tables(texts: dict[str, str], commits: list[list[str]] | None = None) -> GraphTables:
    files = repository_files(dict(texts), source="s")
    extracted = extract(files, EXTRACTION)
    facts = architecture_facts(files, extracted.units, ARCHITECTURE, EXTRACTION)
    history = pl.DataFrame(
        {"source": ["s"] * len(commits or []), "paths": commits or []},
        schema={"source": pl.String, "paths": pl.List(pl.String)},
    )
    return GraphTables(files, extracted.units, extracted.tests, facts, history)


def edges(texts: dict[str, str], *relations: str) -> set[tuple[str, str, str]]:
    """From, to and resolution; a place is its name, or its path."""
    edges = code_graph(tables(texts), ARCHITECTURE, EXTRACTION)
    rows = edges.filter(pl.col("relation").is_in(relations)).iter_rows(named=True)
    return {(row["from_name"] or row["from_path"], row["to_name"] or row["to_path"], row["resolution"]) for row in rows}


def test_what_is_only_written_is_not_read() -> None:
    code = (
        "class A:\n    @property\n    def size(self): ...\n    @size.setter\n    def size(self, v): ...\n"
        "    def grow(self):\n        self.size = 1\n    def show(self):\n        return self.size\n"
    )
    calls = code_graph(tables({"a.py": code}), ARCHITECTURE, EXTRACTION).filter(pl.col("relation") == "calls")
    assert set(calls.select("from_name", "to_start_line").iter_rows()) == {("A.grow", 4), ("A.show", 2)}


def test_other_relations_of_python() -> None:
    assert edges(PYTHON, "inherits") == {("Price", "Base", "import")}
    assert edges(PYTHON, "tests") == {("test_rounded", "rounded", "import")}
    assert edges(PYTHON, "configures") == {
        ("pyproject.toml", "run", "path"),
        (".github/workflows/ci.yaml", "shop/prices.py", "path"),
    }
    imports = edges(PYTHON, "imports")
    assert ("shop/cli.py", "Price", "import") in imports, "through the package's own import"
    assert ("shop/cli.py", "shop/__init__.py", "import") in imports


@pytest.mark.parametrize("language", [name for name in SOURCES if name != "meant"])
def test_calls_and_bases_by_scope_import_type_and_unique_name(language: str) -> None:
    relations = ("calls",) if language == "python" else ("calls", "inherits")
    expected = {tuple(edge) for edge in SOURCES[language]["edges"]}
    assert edges(SOURCES[language]["files"], *relations) == expected


@pytest.mark.parametrize(
    ("language", "source", "plain"),
    [
        *(("python", "Optional[Foo]", "Foo"), ("python", "Foo | None", "Foo"), ("python", '"Foo"', "Foo")),
        *(("python", "list[Foo]", "list"), ("python", "Foo | Bar", ""), ("python", "", "")),
        *(("go", "*pkg.Foo", "pkg.Foo"), ("go", "[]Foo", ""), ("typescript", "Result<Foo>", "Result")),
        *(("rust", "Box<dyn Foo>", "Foo"), ("rust", "a::Foo", "a.Foo"), ("rust", "&mut Foo<T>", "Foo")),
        *(("rust", "crate::Result<Option<Foo>>", "Foo"), ("rust", "Result<Foo<A, B>, Error>", "Foo")),
        *(("rust", "Result<(), Error>", ""), ("rust", "Arc<std::sync::Mutex<Foo>>", "Foo")),
    ],
)  # fmt: skip
def test_types_are_read_by_their_names(language: str, source: str, plain: str) -> None:
    assert plain_type(source, language) == plain


def test_the_order_of_rows_and_what_is_kept_do_not_matter(tmp_path: Path) -> None:
    inputs = tables(PYTHON, [["shop/cli.py", "shop/prices.py"]] * 3)
    first = code_graph(inputs, ARCHITECTURE, EXTRACTION)
    cache = RowCache(tmp_path, "1")
    mixed = GraphTables(*(table.sample(fraction=1, shuffle=True, seed=7) for table in inputs))
    for _ in range(2):
        assert code_graph(mixed, ARCHITECTURE, EXTRACTION, cache, "p").equals(first)
    assert first.filter(pl.col("relation") == "changes_with")["weight"].to_list() == [3]


def test_common_changes_need_support_and_large_commits_do_not_count() -> None:
    files = frozenset(f"{number}.py" for number in range(40))
    pair = ["1.py", "2.py"]
    assert changed_together([pair] * LEAST_TOGETHER, files) == {("1.py", "2.py"): LEAST_TOGETHER}
    assert not changed_together([pair] * (LEAST_TOGETHER - 1), files)
    assert not changed_together([sorted(files)] * 9, files), "a commit of 40 files"
    assert not changed_together([["1.py", "gone.py"]] * 9, files)
    of_any = frozenset(["1.py", "CHANGELOG.md", "docs/changes.rst", "yarn.lock", "package-lock.json", "go.sum"])
    assert not changed_together([sorted(of_any)] * 9, of_any)
    assert not changed_together([*([["1.py"], ["2.py"]] * 20), *[pair] * 3], files), "each changes mostly without"


def test_broken_code_and_other_types_of_names_make_no_error() -> None:
    chance = random.Random(5)
    broken = {}
    for path, text in PYTHON.items():
        letters = list(text)
        for _ in range(6):
            letters[chance.randrange(len(letters))] = chance.choice("([{:.\n\"'=é")
        broken[path] = "".join(letters)
    code_graph(tables(broken), ARCHITECTURE, EXTRACTION)
    deep = "a" + ".b()" * 30_000 + "\n"
    cycle = "x = y()\ny = x()\nx.some_name()\n\n\nclass A(A):\n    pass\n"
    assert code_graph(tables({"deep.py": deep, "cycle.py": cycle}), ARCHITECTURE, EXTRACTION).is_empty()
    assert expression(None) == ""


def graph(texts: dict[str, str] = PYTHON) -> CodeGraph:
    inputs = tables(texts, [["shop/cli.py", "shop/prices.py"]] * 3)
    return CodeGraph(code_graph(inputs, ARCHITECTURE, EXTRACTION), inputs.units, inputs.files["path"])


def test_callers_breaks_and_tests() -> None:
    code = graph()
    callers = code.ask("callers", "rounded")
    assert [(step.name, step.lines) for step in callers.steps] == [
        *(("run", (14,)), ("Price.total", (11,)), ("test_rounded", (5,)))
    ]
    assert callers.of == ("shop/prices.py:rounded",)
    breaks = code.ask("breaks", "Base.key")
    assert [(step.name, step.distance) for step in breaks.steps if step.name] == [
        *(("Base.save_all", 1), ("run", 2), ("Price.total", 2))
    ]
    assert "1 rest on a name" in breaks.notice
    (together,) = [s for s in code.ask("breaks", "run").steps if s.relation == "changes_with"]
    assert (together.path, together.weight) == ("shop/prices.py", 3)
    (test,) = code.ask("tests", "shop/prices.py:rounded").steps
    assert (test.path, test.name) == ("tests/test_prices.py", "test_rounded")
    file_answer = code.ask("breaks", "shop/base.py", depth=1)
    assert {step.relation for step in file_answer.steps} == {"calls", "imports", "inherits"}


@pytest.mark.parametrize(
    ("files", "test"),
    [
        ({"a/test_x.py": "from b.x import f\n\n\ndef test_f():\n    f()\n"}, "test_f"),
        ({"a/x.rs": "fn f() {}\nmod tests {\n    use super::f;\n    fn a() { f() }\n}\nfn g() { f() }\n"}, "tests.a"),
    ],
)
def test_code_comes_before_its_tests(files: dict[str, str], test: str) -> None:
    product = {"b/x.py": "def f():\n    pass\n\n\ndef g():\n    f()\n"} if test == "test_f" else {}
    answer = graph(files | product).ask("callers", "f")
    assert [step.name for step in answer.steps] == ["g", test]
    assert answer.summary.partition(" (")[0].endswith("1 in product code")


def test_the_path_between_two_places_and_back() -> None:
    code = graph()
    path = code.ask("path", "run", "Base.key")
    assert [(step.name, step.of) for step in path.steps][-1] == ("Base.save_all", "shop/base.py:Base.key")
    back = code.ask("path", "Base.key", "run")
    assert "this is the way back" in back.notice
    assert back.steps == path.steps
    none = code.ask("path", "test_rounded", "made")
    assert not none.steps
    assert "nor back" in none.notice


MEANT = SOURCES["meant"]["files"]


@pytest.mark.parametrize(("question", "names", "expected"), CASES["names_resolve_to_what_a_reader_means"])
def test_names_resolve_to_what_a_reader_means(question: str, names: list[str], expected: set[str]) -> None:
    assert {step.name for step in graph(MEANT).ask(question, *names).steps if step.name} == set(expected)


def test_an_answer_begins_with_its_counts() -> None:
    code = graph(MEANT | {"tests/test_a.py": "from shop.use import fetch\n\n\ndef test_fetch():\n    fetch(1)\n"})
    send = code.ask("callers", "HttpAdapter.send").summary
    assert send.endswith("HttpAdapter.send has 2 callers: 2 in product code (2 public), 0 in tests; "
                         "also through BaseAdapter.send.")  # fmt: skip
    assert code.ask("tests", "fetch").summary == "shop/use.py:fetch has 1 test."
    assert "2 places that may break: 0 in product code (0 public), 2 in tests" in code.ask("breaks", "fetch").summary
    assert code.ask("path", "fetch", "BaseAdapter.send").summary.startswith("1 step from shop/use.py:fetch to")


@pytest.mark.parametrize(
    ("path", "name", "signature", "public"),
    [
        *(("a.py", "Jar.keys", "", True), ("a.py", "_Jar.keys", "", False), ("a.py", "Jar.__len__", "", True)),
        *(("a.go", "Jar.Put", "", True), ("a.go", "Jar.put", "", False), ("a.rs", "f", "pub fn f()", True)),
        *(("a.rs", "f", "fn f()", False), ("A.java", "A.f", "public int f()", True), ("a.ts", "A.#f", "", False)),
        *(("A.java", "A.f", "int f()", False), ("a.ts", "A.f", "private f()", False), ("a.ts", "A.f", "f()", True)),
    ],
)
def test_what_is_public(path: str, name: str, signature: str, public: bool) -> None:
    assert is_public(GraphNode(path, name, "method"), signature) is public


def test_names_that_nothing_or_several_places_have() -> None:
    code = graph(PYTHON | {"other.py": "def rounded():\n    pass\n", "tests/test_x.py": "def run(): 1\n"})
    with pytest.raises(GraphNameError, match=r"2 places; type one of other.py:rounded, shop"):
        code.ask("callers", "rounded")
    with pytest.raises(GraphNameError, match="nothing is called ruonded; like it: rounded"):
        code.ask("callers", "ruonded")
    assert code.find_node("run").path == "shop/cli.py", "before the one in tests"
    assert code.find_node("prices.py").path == "shop/prices.py"
    for bad in (("path", "run", None, 3), ("callers", "run", "made", 3), ("who", "run", None, 3)):
        with pytest.raises(ValueError, match=r"path needs two names|no question who"):
            code.ask(*bad)
    assert "no call of tests/test_x.py:run is known" in code.ask("callers", "tests/test_x.py:run").notice


def test_the_command_on_an_index_follows_the_folder(tmp_path: Path) -> None:
    folder, out = tmp_path / "code", tmp_path / "index"
    for path, text in PYTHON.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    index = ["index", str(folder), "--out", str(out), "--encoder", "none"]
    cortex(*index)
    result = cortex("graph", "callers", "rounded", "--index", str(out))
    line = "shop/prices.py:9-11  Price.total  calls shop/prices.py:rounded, line 11 [scope]"
    assert result.stdout.startswith("shop/prices.py:rounded has 3 callers: 2 in product code (2 public), 1 in tests.")
    assert line in result.stdout.splitlines()
    (graph_folder,) = out.glob("graph-*")
    (folder / "shop" / "more.py").write_text("from shop.prices import rounded\n\nrounded(1)\n")
    result = cortex("graph", "callers", "rounded", "--index", str(out), "--json")
    assert "shop/more.py" in {step["path"] for step in json.loads(result.stdout)["steps"]}
    assert graph_folder not in out.glob("graph-*")
    result = cortex("graph", "path", "run", "--index", str(out), status=2)
    assert "path needs two names" in result.stderr
    result = cortex("graph", "callers", "x", "--index", str(out), "--project", "shop", status=2)
    assert "not both" in result.stderr
    cortex(*index)  # leftover graphs do not hinder


def test_the_graph_of_one_project_and_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(Path(__file__).parents[2] / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    project = open_project(tmp_path)
    first, *_ = project.partitions
    with pytest.raises(ProjectError, match=f"`cortex run code_graph --project {first} --upstream` makes it"):
        project_graph(project, first)
    inputs = tables(PYTHON)
    for name in project.partitions:
        for asset, table, frame in (
            ("repository_files", "files", inputs.files),
            ("code_units", "units", inputs.units),
            ("code_graph", "edges", code_graph(inputs, ARCHITECTURE, EXTRACTION)),
        ):
            folder = project.output(asset, name)
            folder.mkdir(parents=True)
            frame.write_parquet(folder / f"{table}.parquet")
    ask = ["graph", "callers", "Base.key", "--json"]
    result = cortex(*ask, "--project", first)
    assert json.loads(result.stdout)["of"] == ["shop/base.py:Base.key"]
    result = cortex(*ask, status=1)
    assert f"type one of {min(project.partitions)}/shop/base.py:Base.key" in result.stderr
    ask[2] = f"{first}/shop/base.py:Base.key"
    (step,) = json.loads(cortex(*ask).stdout)["steps"]
    assert step["path"] == f"{first}/shop/base.py"
    result = cortex(*ask, "--project", "nowhere", status=1)
    assert "no project nowhere; there is:" in result.stderr
    assert project_services(tmp_path).relations("callers", "Base.key", None, first, 3)["versions"] == {first: None}


@pytest.mark.parametrize("name", CASES["test_pairs"])
def test_a_test_is_paired_with_what_it_calls(name: str) -> None:
    pairs = {(test, unit) for test, unit, _ in edges(CASES["test_pairs"][name]["files"], "tests")}
    assert pairs == {tuple(pair) for pair in CASES["test_pairs"][name]["pairs"]}


@pytest.mark.parametrize("name", CASES["requests"])
def test_a_test_is_paired_with_the_handler_that_it_requests(name: str) -> None:
    pairs = {(test, unit) for test, unit, found in edges(CASES["requests"][name]["files"], "tests") if found == "path"}
    assert pairs == {tuple(pair) for pair in CASES["requests"][name]["pairs"]}


@pytest.mark.parametrize("language", CASES["passes"])
def test_a_function_that_is_handed_on(language: str) -> None:
    passed = {(start, end) for start, end, _ in edges(CASES["passes"][language]["files"], "passes")}
    assert passed == {tuple(edge) for edge in CASES["passes"][language]["edges"]}


def test_the_order_of_files_does_not_matter() -> None:
    texts = {path: text for case in CASES["test_pairs"].values() for path, text in case["files"].items()}
    forwards, backwards = (
        code_graph(tables(dict(order)), ARCHITECTURE, EXTRACTION) for order in (texts.items(), reversed(texts.items()))
    )
    assert forwards.equals(backwards)
