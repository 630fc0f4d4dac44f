"""Versioned assets: functions from versions to a version."""

from cortex_pipelines.versioning.asset import VersionedAsset, versioned_asset

__all__ = ["VersionedAsset", "versioned_asset"]
