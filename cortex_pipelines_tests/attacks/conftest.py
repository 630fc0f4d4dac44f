"""The long forms of the attacks are left out unless they are asked for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines_tests.attacks.killer import Killer


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killer]:
    process = Killer(tmp_path_factory.mktemp("killer") / "temporary")
    yield process
    process.close()


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    return load_parameters(Path(__file__).parents[2])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # not by addopts = -m: any other -m on the command line would take its place
    if "attack" in str(config.option.markexpr):
        return
    left_out = [item for item in items if item.get_closest_marker("attack")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("attack")]
