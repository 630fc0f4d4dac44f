"""What is known of clusters gives what clustering everything gives, and saves comparing."""

from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cortex_pipelines.datasets.dedup import minhash
from cortex_pipelines.datasets.dedup.minhash import IncrementalClustering, near_duplicate_clusters
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.rowcache import RowCache

_CHAIN = [" ".join(f"name{n}" for n in range(at, at + 30)) for at in range(0, 24, 2)]
"""Each is a near-duplicate of the next two alone."""
_APART = [" ".join(f"other{at}x{n}" for n in range(20)) for at in range(30)]
_LAID_OUT = [_CHAIN[3].replace(" ", "  "), "", "one two"]
_TEXTS = st.lists(st.sampled_from([*_CHAIN, *_APART, *_LAID_OUT]), max_size=40)


@hypothesis_settings(deadline=None)
@given(st.lists(_TEXTS, max_size=5), st.sampled_from([0.3, 1.0]), st.sampled_from([3, 256]))
def test_known_clusters_are_those_of_clustering_everything(
    settings: DatasetSettings, runs: list[list[str]], most_new: float, most_compared: int
) -> None:
    with (
        TemporaryDirectory() as folder,
        patch.object(minhash, "_MAX_NEW_SHARE", most_new),
        patch.object(minhash, "MAX_COMPARED", most_compared),
    ):
        for texts in runs:
            clustering = IncrementalClustering(RowCache(Path(folder), "v"), settings)
            assert clustering.firsts("code", texts) == near_duplicate_clusters(texts, settings)


def test_a_cluster_falls_apart_with_the_text_that_held_it_together(settings: DatasetSettings, tmp_path: Path) -> None:
    ends, unrelated = [_CHAIN[0], _CHAIN[4]], _APART
    clusters = near_duplicate_clusters([*ends, _CHAIN[2], *unrelated], settings)
    assert clusters[:3] == [0, 0, 0]
    clustering = IncrementalClustering(RowCache(tmp_path, "v"), settings)
    assert clustering.firsts("code", [*ends, _CHAIN[2], *unrelated]) == clusters
    assert clustering.firsts("code", [*ends, *unrelated])[:2] == [0, 1]


def test_only_what_agrees_with_a_new_text_is_compared_again(settings: DatasetSettings, tmp_path: Path) -> None:
    clustering = IncrementalClustering(RowCache(tmp_path, "v"), settings)
    clustering.firsts("code", _APART)
    read: list[str] = []
    make = minhash.all_shingles

    def record(texts: list[str], size: int) -> object:
        read.extend(texts)
        return make(texts, size)

    with patch.object(minhash, "all_shingles", record):
        changed = _APART[4] + " more"
        assert clustering.firsts("code", [*_APART, changed])[-1] == 4
        assert set(read) == {_APART[4], changed}
        read.clear()
        assert clustering.firsts("code", [changed, *_APART])[5] == 0
        assert not read, "nothing is new any more"
