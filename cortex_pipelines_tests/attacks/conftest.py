"""The long forms of the attacks are left out unless they are asked for."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # not by addopts = -m: any other -m on the command line would take its place
    if "attack" in str(config.option.markexpr):
        return
    left_out = [item for item in items if item.get_closest_marker("attack")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("attack")]
