"""What Dagster says is stale, asked as its UI asks."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg


class Staleness:
    """Dagster's stale status of assets.

    Args:
        instance: The project's instance.
        definitions: The code location.
    """

    def __init__(self, instance: "dg.DagsterInstance", definitions: "dg.Definitions") -> None:
        self._instance = instance
        self._graph = definitions.resolve_asset_graph()

    def status(self, name: str, partition: str | None) -> tuple[str, tuple[str, ...]]:
        """FRESH, STALE or MISSING, and why, from the events there are now."""
        return self.snapshot()(name, partition)

    def snapshot(self) -> Callable[[str, str | None], tuple[str, tuple[str, ...]]]:
        """``status``, from the events there are when it is first asked of each asset.

        Events are read once and kept, so that many questions cost little more than one.
        """
        import dagster as dg
        from dagster._core.definitions.data_version import CachingStaleStatusResolver
        from dagster._core.loader import LoadingContextForTest

        resolver = CachingStaleStatusResolver(
            self._instance, self._graph, LoadingContextForTest(self._instance)
        )

        def status(name: str, partition: str | None) -> tuple[str, tuple[str, ...]]:
            key = dg.AssetKey(name)
            causes = resolver.get_stale_causes(key, partition)
            return resolver.get_status(key, partition).value, tuple(
                f"{cause.dependency.asset_key.to_user_string()} {cause.reason}"
                if cause.dependency
                else cause.reason
                for cause in causes
            )

        return status

    def stale(self, name: str, partition: str | None) -> bool:
        """Whether an asset and partition is stale or missing."""
        return self.status(name, partition)[0] != "FRESH"
