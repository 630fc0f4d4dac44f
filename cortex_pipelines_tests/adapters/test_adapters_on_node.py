import pickle

import pytest

from cortex_pipelines.adapters.assets import code_adapter
from cortex_pipelines.versioning import on_node
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines_tests.adapters import tinymodel


@pytest.fixture
def sent(monkeypatch):
    """Tasks that went to a node: through pickle, as in a cluster."""
    tasks = []

    def on_cluster(work, item, name, cores):
        tasks.append(item)
        return pickle.loads(pickle.dumps(work(pickle.loads(pickle.dumps(item)))))

    monkeypatch.setattr(on_node, "is_clustered", lambda: True)
    monkeypatch.setattr(on_node, "on_cluster", on_cluster)
    monkeypatch.setattr(tinymodel, "code_adapter", lambda **given: on_node.compute(code_adapter, given, "code_adapter"))
    return tasks


def test_training_on_a_node_gives_the_same_files_from_values_alone(root, datasets, tmp_path, sent, monkeypatch) -> None:
    base = tinymodel.pinned(root, str(root / "base"))
    parent, here, there = (tmp_path / name for name in ("parent", "here", "there"))
    for out, changes in (
        (parent, {}),
        (here, {"parents": {"mine": str(parent)}}),
        (there, {"parents": {"mine": str(parent)}}),
    ):
        with monkeypatch.context() as patch:
            if out != there:
                patch.setattr(on_node, "is_clustered", lambda: False)
            observed = tinymodel.train_record(root, datasets, out, base=base, **changes)["observed"]
    assert content_md5(there) == content_md5(here)
    assert observed["training_seconds"] > 0
    first, second = sent  # the parent's weights are sent when they are asked for
    assert second.paths.keys() - first.paths.keys() == {str(parent)}


def test_a_base_in_the_project_is_trained_where_it_is(root, datasets, tmp_path, sent) -> None:
    tinymodel.train_record(root, datasets, tmp_path / "adapter")
    assert not sent
