"""The driver of a cluster of two nodes, which ``two_nodes.sh`` starts: prints what it found as JSON."""

import json
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from psutil import Process

from cortex_pipelines.adapters.assets import code_adapter
from cortex_pipelines.parallel import ordered
from cortex_pipelines.parallel.ordered import executing, ordered_map
from cortex_pipelines.parallel.settings import ExecutionSettings
from cortex_pipelines.versioning import on_node
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.parallel import work

CLUSTER = ExecutionSettings(backend="ray", workers=None, memory=None)
ITEMS, PROJECTS = range(100), range(4)


def train(folder: Path) -> tuple[dict[str, str], dict[str, str], set[int]]:
    """Versions of the adapters of four projects, trained here and on the nodes, and the nodes that trained."""
    base = tinymodel.pinned(folder, str(folder / "weights"))
    datasets = [tinymodel.write_datasets(folder / "project" / f"data-{name}", 40 + 10 * name) for name in PROJECTS]
    nodes: list[float] = []

    def adapter(settings: ExecutionSettings | None, name: int) -> str | None:
        out = folder / "project" / f"adapter-{name}-{settings is None}"
        out.mkdir(parents=True)
        observed: dict[str, float] = {}
        with executing(settings):
            tinymodel.train_adapter(
                folder, datasets[name], out, base=base, observe=observed.__setitem__, max_tokens=4000
            )
        nodes.append(observed.get("node", 0))
        return content_md5(out)

    here = [adapter(None, name) for name in PROJECTS]
    tinymodel.code_adapter = lambda **keywords: on_node.compute(code_adapter, keywords, "code_adapter")  # type: ignore
    on_node.compute_task = work.compute_and_tell
    with ThreadPoolExecutor() as pool:
        there = list(pool.map(lambda name: adapter(CLUSTER, name), PROJECTS))
    return here, there, set(nodes) - {0}


def lose_a_node(folder: Path) -> dict[str, Any]:
    """The second node is killed once both have computed."""
    second = Process(int(os.environ["SECOND"]))
    folders, values = set(), []
    with executing(CLUSTER):
        for batch in ordered_map(work.look_about, ((item, folder) for item in ITEMS), lambda _: 200_000, "numbers"):
            values += [value for value, _ in batch]
            folders |= {seen for _, seen in batch}
            if len(folders) == 2 and second.is_running():
                for process in (*second.children(recursive=True), second):
                    process.kill()
    return {"values": values, "folders": sorted(folders)}


def main(folder: Path) -> None:
    logging.basicConfig(level=logging.WARNING)
    ordered._SECONDS_ALONE = 0
    here, there, nodes = train(folder)
    print(json.dumps({"here": here, "there": there, "nodes": sorted(nodes), **lose_a_node(folder)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
