"""What Dagster says is stale, asked as its UI asks."""

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
        import dagster as dg
        from dagster._core.definitions.data_version import CachingStaleStatusResolver
        from dagster._core.loader import LoadingContextForTest

        resolver = CachingStaleStatusResolver(
            self._instance, self._graph, LoadingContextForTest(self._instance)
        )
        key = dg.AssetKey(name)
        causes = resolver.get_stale_causes(key, partition)
        return resolver.get_status(key, partition).value, tuple(
            f"{cause.dependency.asset_key.to_user_string()} {cause.reason}"
            if cause.dependency
            else cause.reason
            for cause in causes
        )

    def stale(self, name: str, partition: str | None) -> bool:
        """Whether an asset and partition is stale or missing."""
        return self.status(name, partition)[0] != "FRESH"
