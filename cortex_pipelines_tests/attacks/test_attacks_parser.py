"""What a small file costs, in steps that are the same on every machine; in the long form, bombs of 200 KB in time."""

import sys
import time
import tracemalloc
from collections.abc import Callable
from types import FrameType

import polars as pl
import pytest

from cortex_pipelines.annotation.labels.labelling import label_units
from cortex_pipelines.config import Parameters
from cortex_pipelines.damage import CAUSES, SkipReason
from cortex_pipelines.extraction.architecture.build import facts_in_file
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.refactoring.unit_reader import read_file
from cortex_pipelines.extraction.units import extract, read_code
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES
from cortex_pipelines.syntax.grammars import GRAMMARS, TooManyStepsError, grammar_for, parse_counted, weighed
from cortex_pipelines.syntax.unparsable import syntax_tree
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
Shape = Callable[[int], str]
"""Makes a text of about so many bytes."""
LANGUAGES = tuple(sorted({grammar.language for grammar in GRAMMARS}))


def repeated(part: str, before: str = "", after: str = "") -> Shape:
    return lambda size: before + part * (size // len(part)) + after


def nested(opening: str, closing: str, inside: str = "", before: str = "") -> Shape:
    def text(size: int) -> str:
        levels = size // (len(opening) + len(closing))
        return before + opening * levels + inside + closing * levels

    return text


def numbered(part: str, before: str = "", after: str = "", between: str = ",") -> Shape:
    """A part with a number of its own each time, in place of ``%``."""

    def text(size: int) -> str:
        parts, length = [], 0
        while length < size:
            parts.append(part.replace("%", str(len(parts))))
            length += len(parts[-1]) + len(between)
        return before + between.join(parts) + after

    return text


_SHAPES = {make.__name__: make for make in (repeated, nested, numbered)}
BOMBS: tuple[tuple[str, str, Shape], ...] = tuple(
    (language, name, _SHAPES[shape](*given))
    for language in LANGUAGES
    for name, (shape, *given) in (CASES["everywhere"] | CASES[language]).items()
)
"""Language, name and shape of each."""
SMALL, LARGE = 3_000, 200_000
GROWTH = 2.3
"""Steps for twice the text: linear work, and what the parser does once."""
TARGET_SECONDS = 5.0
"""Of processor, for a bomb; a report says which take longer, as a busy machine may."""
MOST_SECONDS = 4 * TARGET_SECONDS
"""Only another order of growth takes so long."""


@pytest.mark.parametrize("language", LANGUAGES)
def test_twice_the_text_takes_twice_the_steps_or_is_refused(language: str, parameters: Parameters) -> None:
    grammar, most_bytes = grammar_for(language), parameters.extraction.max_file_bytes
    for name, shape in [bomb[1:] for bomb in BOMBS if bomb[0] == language]:
        counts = []
        for size in (SMALL, 2 * SMALL):
            data = shape(size).encode()
            if isinstance(syntax_tree(data, grammar, most_bytes), SkipReason):
                break
            cost = parse_counted(data, grammar)
            counts.append((cost.operations + 1_000, cost.bytes + 4_000))
        else:
            (operations, read), (twice_operations, twice_read) = counts
            assert twice_operations < GROWTH * operations, name
            assert twice_read < GROWTH * read, name


@pytest.mark.parametrize(
    ("language", "text", "reason"),
    [
        ("rust", 'r#"' * 20_000, "too_many_steps"),
        ("java", "List<" * 2_000, "ambiguous"),
        ("java", "a=>" * 2_000, "ambiguous"),
        ("typescript", "T<T<T<x>," * 1_000, "ambiguous"),
        ("typescript", "a<b>(c)<" * 1_000, "ambiguous"),
        # padded, so that a kilobyte holds few brackets
        ("java", f"{'a' * 60}=>" * 1_100, "ambiguous"),
        ("java", "class A { void f() { " + "a+b+c+d+e+f+g+h+i+j+k+l=>" * 1_100, "ambiguous"),
        # and between what samples see
        ("java", f"{'a<b;' * 300}{'a=>' * 900}" * 3, "ambiguous"),
    ],
)
def test_a_parser_that_would_take_minutes_is_not_asked(language: str, text: str, reason: str, parameters) -> None:
    units, skipped = read_code(text, language, "", parameters.extraction)
    assert (units, skipped.reason) == ([], reason)
    assert (units, skipped) == read_code(text, language, "", parameters.extraction)


def test_code_between_many_brackets_is_read(parameters: Parameters) -> None:
    text = "".join(f"class A{n} {{ Map<String, List<Integer>> a; }}\n" for n in range(600))
    units, reason = read_code(text, "java", "A.java", parameters.extraction)
    assert reason is None
    assert sum(unit.kind == "class" for unit in units) == 600


def test_a_file_is_set_aside_if_its_query_begins_too_many_matches(parameters: Parameters) -> None:
    def cases(count: int) -> str:
        return "it('a',()=>{" * count + "})" * count

    units, reason = read_code(cases(100), "javascript", "a.js", parameters.extraction)
    assert reason is None
    assert units
    # some of the 1,500 would be missing, without a word
    units, reason = read_code(cases(1_500), "javascript", "a.js", parameters.extraction)
    assert (units, reason) == ([], SkipReason("too_many_steps", "more than 1024 matches of a query begun at once"))
    most = parameters.extraction.max_file_bytes
    assert read_file("a.js", cases(100), most) is not None
    assert read_file("a.js", cases(1_500), most) is None


def test_architecture_sets_a_file_aside_if_its_query_begins_too_many_matches(parameters: Parameters) -> None:
    text = "package a\nfunc f() { " + "f(" * 2_000 + "x" + ")" * 2_000 + " }\n"
    file = SourceFile("a.go", "go", text, parameters.architecture, parameters.extraction)
    with pytest.raises(CAUSES, match="begun at once"):  # what `attempted` sets a file aside for
        list(facts_in_file(file))


def test_labels_of_a_query_that_begins_too_many_matches_are_left_out_and_said(parameters: Parameters, caplog) -> None:
    text = "class A { A a = x" + ".b()" * 2_000 + "; void f(int a, int b) { } }"
    units = extract(files_of(text, "java"), parameters.extraction).units
    assert units.height
    assert label_units(units, {("directory:a", "a", "b"): text}, parameters.annotation).height == units.height
    assert "more than 1024 matches" in caplog.text


@pytest.mark.parametrize(("path", "text"), [("a.py", "T<T<T<x>," * 16_000), ("a.go", "T<T<T<x>," * 4_000)])
def test_what_is_not_parsed_has_no_refactorings(path: str, text: str, parameters: Parameters) -> None:
    most = parameters.extraction.max_file_bytes
    assert read_file(path, text, most) is None
    assert read_file(path, text[:8], most) is not None


def test_steps_are_counted_the_same_each_time() -> None:
    grammar, data = grammar_for("typescript"), b"a<b>(c)<" * 100
    first, again = parse_counted(data, grammar), parse_counted(data, grammar)
    assert first[1:] == again[1:]
    assert weighed(data[:800], grammar) == weighed(data[:800], grammar) > 100
    with pytest.raises(TooManyStepsError, match="bytes read"):
        parse_counted(b'r#"' * 20_000, grammar_for("rust"))


def test_what_a_counted_parse_has_read_is_freed() -> None:
    grammar, data = grammar_for("python"), b"name = 'value'\n" * 7_000
    parse_counted(data, grammar)
    tracemalloc.start()
    try:
        for _ in range(10):
            parse_counted(data, grammar)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < len(data)


def test_what_a_debugger_holds_of_a_counted_parse_stays_whole() -> None:
    data, frames = b"name = 'value'\n" * 700, list[FrameType]()
    sys.setprofile(lambda frame, *_: frames.append(frame))
    try:
        root = parse_counted(data, grammar_for("python")).tree.root_node
        texts = [node.text for node in root.children]
    finally:
        sys.setprofile(None)
    chunks = [frame.f_locals["chunk"] for frame in frames if "chunk" in frame.f_locals]
    assert set(texts) == {b"name = 'value'"}
    assert len(chunks) > 700
    assert all(chunk in data for chunk in chunks)


def test_nodes_of_a_counted_tree_know_their_text() -> None:
    data = b"x = '" + b"ab" * 3_000 + b"'\ny = 1\n"
    root = parse_counted(data, grammar_for("python")).tree.root_node
    for _ in range(2_000):
        assert root.children[1].text == b"y = 1"
    assert root.text == data


def test_every_name_of_a_long_declaration_is_a_unit(parameters: Parameters) -> None:
    names = [f"a{number}" for number in range(3_000)]
    text = f"package a\nvar {', '.join(names)} int\n"
    # beyond the limit of repeated bytes they are one unit
    settings = parameters.extraction.model_copy(update={"max_repeated_bytes": 1 << 40})
    units, reason = read_code(text, "go", "a.go", settings)
    assert reason is None
    assert [unit.name for unit in units] == names


def files_of(text: str, language: str) -> pl.DataFrame:
    row = dict.fromkeys(REPOSITORY_FILES.schema) | {
        "source": "directory:a", "path": "a", "blob": "b", "language": language,
        "generated": False, "trainable": True, "notebook": False,
        "size_bytes": len(text), "revision": "", "text": text,
    }  # fmt: skip
    return pl.DataFrame([row], schema=REPOSITORY_FILES.schema)


@pytest.mark.attack
@pytest.mark.parametrize(
    ("language", "name", "shape"), BOMBS, ids=[f"{bomb_language}-{name}" for bomb_language, name, _ in BOMBS]
)
def test_200_kilobytes_cost_seconds(language: str, name: str, shape: Shape, parameters) -> None:
    text = shape(LARGE)
    files = files_of(text, language)
    begun = time.process_time()
    extraction = extract(files, parameters.extraction)
    if extraction.units.height:
        label_units(extraction.units, {("directory:a", "a", "b"): text}, parameters.annotation)
    seconds = time.process_time() - begun
    print(f"{seconds:.2f} s of processor for {language}, {name} (target {TARGET_SECONDS:.0f} s)")
    assert seconds < MOST_SECONDS
