"""What a query names exactly comes first, and what has no vector is not taken for unlike."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cortex_pipelines.api import load_parameters
from cortex_pipelines.retrieval.bm25f import Floats
from cortex_pipelines.retrieval.index import IndexManifest, build_index, read_folder
from cortex_pipelines.retrieval.open_index import reading_limits
from cortex_pipelines.retrieval.queries import parse_query
from cortex_pipelines.retrieval.ranking import FOR_UNITS, combine_unit_scores
from cortex_pipelines.retrieval.search import Searcher

LIMITS = reading_limits(load_parameters())
FILES = {
    "wrappers.py": (
        "class Request:\n    pass\n\n\n"
        "class Response:\n"
        '    """What is sent, with a mimetype that differs from that of its base."""\n\n'
        "    default_mimetype = 'text/html'\n    json_module = json\n    autocorrect = False\n\n"
        "    def max_cookie_size(self):\n        return current_app.config['MAX_COOKIE_SIZE']\n"
    ),
    "app.py": (
        "class App:\n"
        "    def make_response(self, response):\n"
        "        response = response.response(response)\n        return response\n\n"
        "    def evolve(self, evolved):\n        return evolved.evolve(self.evolve)\n"
    ),
    "make.py": (
        "def evolve(inst, **changes):\n"
        + "".join(f"    field_{n} = changes.pop('a{n}', inst.a{n})\n" for n in range(30))
        + "    return inst\n"
    ),
    "make.pyi": "def evolve(inst, **changes): ...\n\n\ndef only_declared(inst): ...\n",
    "camelCase.js": "var made = require('./made');\nvar camelCase = made((word) => word);\n",
    "words.js": "function words(camelCase) { return camelCase(camelCase); }\n",
    "camel.md": "# camelCase\n\ncamelCase is camelCase, and not snake_case.\n",
}


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    folder = tmp_path_factory.mktemp("code")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return Searcher(build_index(read_folder(folder, LIMITS), IndexManifest(str(folder), None), None), LIMITS)


@pytest.mark.parametrize(
    ("query", "location"),
    [
        ("Response", "wrappers.py Response"),
        (" Response() ", "wrappers.py Response"),
        ("App.evolve", "app.py App.evolve"),
        ("flask.wrappers.Response", "wrappers.py Response"),
        ("evolve", "make.py evolve"),
        ("only_declared", "make.pyi only_declared"),
        ("camelCase", "camelCase.js camelCase.js"),
    ],
)
def test_what_is_named_comes_first(searcher: Searcher, query: str, location: str) -> None:
    first, *_ = searcher.search(query)
    assert f"{first.path} {first.name}" == location
    assert first.why.startswith("defines what is named")


def test_the_file_that_defines_what_is_named_comes_first(searcher: Searcher) -> None:
    assert searcher.search("Response", by="file")[0].path == "wrappers.py"


def test_a_declaration_comes_after_its_definition(searcher: Searcher) -> None:
    paths = [result.path for result in searcher.search("evolve the inst with changes")]
    assert paths.index("make.py") < paths.index("make.pyi")


def test_several_words_name_nothing(searcher: Searcher) -> None:
    for result in searcher.search("a response"):
        assert "defines what is named" not in result.why


def test_what_has_no_vector_is_not_taken_for_unlike(tmp_path: Path) -> None:
    (tmp_path / "why.md").write_text("# Why\n\nWhy to use parcels instead of argparse.\n")
    (tmp_path / "parse.py").write_text("def argparse_instead():\n    return parcels\n")

    def encode(texts: Sequence[str]) -> Floats:
        return np.ones((len(texts), 2), dtype=np.float32) / np.float32(2**0.5)

    index = build_index(read_folder(tmp_path, LIMITS), IndexManifest(str(tmp_path), "x"), encode)
    query = parse_query("why parcels")
    (part,) = Searcher(index, LIMITS, encode).score_collections(query)
    section = part.collection.names.index("Why")
    by_words = combine_unit_scores([part], replace(FOR_UNITS, dense=0.0), query)[0][section]
    assert combine_unit_scores([part], FOR_UNITS, query)[0][section] > by_words


def test_a_name_of_many_parts_names_nothing(searcher: Searcher) -> None:
    assert searcher.search("Response" + ".x" * 400)
