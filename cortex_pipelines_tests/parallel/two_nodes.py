"""The driver of a cluster of two nodes, which ``two_nodes.sh`` starts: prints what it found as JSON."""

import json
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from psutil import Process, process_iter

from cortex_pipelines.adapters.assets import code_adapter
from cortex_pipelines.evaluation.adapter.assets import code_adapter_evaluation
from cortex_pipelines.parallel import ordered
from cortex_pipelines.parallel.ordered import executing, ordered_map
from cortex_pipelines.parallel.settings import ExecutionSettings
from cortex_pipelines.versioning import on_node
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.evaluation import workshop
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


def evaluate(folder: Path) -> dict[str, Any]:
    """Whether an evaluation on a node gives the files and tables of one here, and which node it was."""
    base, names = tinymodel.pinned(folder, str(folder / "weights")), code_adapter_evaluation.parameters
    tinymodel.pinned = lambda _: base  # type: ignore
    workshop.code_adapter_evaluation = lambda *values: on_node.compute(  # type: ignore
        code_adapter_evaluation, dict(zip(names, values, strict=True)), "code_adapter_evaluation"
    )
    shop = workshop.Workshop(folder / "project" / "shop", lambda unused: unused.mkdir(parents=True))
    results = []
    for settings in (None, CLUSTER):
        with executing(settings):
            tables, _ = shop.tables(shop.trained, cache=folder / f"cache-{settings is None}", generated_items=1)
        results.append((content_md5(shop.outs[-1]), tables))
    (here, tables), (there, tables_there) = results
    same = here == there and all(tables_there[name].equals(table) for name, table in tables.items())
    return {"same_evaluation": same and tables.keys() == tables_there.keys(), "evaluated_on": shop.observed.get("node")}


def hang() -> dict[str, Any]:
    """What became of an item that hangs a worker, and the processes that still compute."""
    ordered._MOST_SECONDS = 0.5
    with executing(CLUSTER):
        batches = ordered_map(work.hanging, ITEMS, lambda _: 200_000, "numbers", skipped=lambda _, why: [why])
        values = [value for batch in batches for value in batch]
    commands = [" ".join(process.info["cmdline"] or ()) for process in process_iter(["cmdline"])]
    return {"hung": values, "computing": [command for command in commands if "_checked_answer" in command]}


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
    checks = {**evaluate(folder), **hang(), **lose_a_node(folder)}
    print(json.dumps({"here": here, "there": there, "nodes": sorted(nodes), **checks}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
