from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.versioning import VersionedAsset, versioned_asset
from cortex_pipelines.versioning.graph import Graph, GraphError
from cortex_pipelines_tests.versioning.toy import SECTIONS, note_pin, toy_assets

CODE = dict.fromkeys(("words", "loud", "tally", "digest", "page"), "")


def declared(compute: Any, **given: Any) -> VersionedAsset:
    return versioned_asset(code=("toy/words.py",), **given)(compute)


def test_a_parameter_that_names_nothing() -> None:
    def one(somewhere: Path) -> None: ...

    with pytest.raises(GraphError, match="asset one: parameter somewhere is not an asset, pin or sec"):
        Graph([declared(one)], [], {})


def test_a_circle() -> None:
    def one(two: Path) -> None: ...
    def two(one: Path) -> None: ...

    with pytest.raises(GraphError, match="dependency cycle: one, two"):
        Graph([declared(one), declared(two)], [], {})


def test_an_exact_asset_may_not_read_what_depends_on_the_machine() -> None:
    def model() -> None: ...
    def table(model: Path) -> None: ...

    with pytest.raises(GraphError, match="table is exact but depends on model, a machine asset"):
        Graph([declared(model, determinism="machine"), declared(table)], [], {})


def test_order_wiring_and_what_lies_downstream() -> None:
    graph = Graph(toy_assets(CODE), [note_pin()], SECTIONS, ["loudness"])
    assert [asset.name for asset in graph.order] == ["words", "loud", "tally", "digest", "page"]
    assert [asset.name for asset in graph.wiring("page").assets] == ["digest", "words"]
    assert ([pin.name for pin in graph.wiring("words").pins], graph.wiring("page").sections) == (["note"], ("pages",))
    assert [pin.name for pin in graph.wiring("loud").pins] == ["loudness_parameters"]
    assert graph.wiring("loud").sections == (), "what differs by project comes in as data"
    assert graph.wiring("digest").sections == ("loudness",), "and for all projects it does not"
    assert graph.downstream(["tally"]) == {"tally", "digest", "page"}


def test_an_asset_is_still_the_function() -> None:
    def double(number: int) -> int:
        """Twice the number."""
        return 2 * number

    asset = declared(double)
    assert (asset(4), asset.description, asset.parameters) == (8, "Twice the number.", ("number",))
    assert asset.room == "versioning"
