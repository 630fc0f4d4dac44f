from datetime import timedelta
from pathlib import Path

import dagster as dg

from cortex_pipelines.catalog import open_project
from cortex_pipelines.versioning.dagster.dagster_assets import build_assets
from cortex_pipelines_tests.versioning.toy import NoTracker

REPOSITORY = Path(__file__).parents[2]


def test_policies_of_the_graph() -> None:
    project = open_project(REPOSITORY)
    policies = {
        asset.key.to_user_string(): asset
        for asset in build_assets(project, NoTracker())
        if isinstance(asset, dg.AssetsDefinition)
    }
    for asset in project.graph.order:
        node = policies[asset.name]
        assert node.op.retry_policy is None, "an interrupt would begin the step again"
        assert node.backfill_policy == (dg.BackfillPolicy.multi_run(1) if asset.partitioned else None)
        fresh = node.get_asset_spec().freshness_policy
        assert (fresh is not None) == (asset.registers is not None)
        if isinstance(fresh, dg.FreshnessPolicy):
            assert fresh == dg.FreshnessPolicy.time_window(timedelta(days=30), timedelta(days=14))
