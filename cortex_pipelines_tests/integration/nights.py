"""A nightly run as Dagster executes it, and what its event log says."""

import dagster as dg

from cortex_pipelines_tests.integration.miniproject import MiniProject


def nightly(
    mini: MiniProject, tags: dict[str, str] | None = None, jobs: int | None = None
) -> dg.ExecuteInProcessResult:
    """``jobs``: stages of data at once, 1 for each as a step of the run; None for the default."""
    _, definitions = mini.open()
    job = definitions.resolve_job_def("nightly")
    config = {"ops": {"build_data": {"config": {"jobs": jobs}}}} if jobs else None
    return job.execute_in_process(run_config=config, instance=mini.instance(), tags=tags, raise_on_error=False)


def step_metadata(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, str]]:
    return {
        str(event.step_key): {k: str(v.value) for k, v in event.step_output_data.metadata.items()}
        for event in result.all_events
        if event.event_type_value == "STEP_OUTPUT"
    }


def materialised(result: dg.ExecuteInProcessResult) -> set[str]:
    return {str(event.step_key) for event in result.all_events if event.event_type_value == "ASSET_MATERIALIZATION"}


def checked(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], bool]:
    return {
        (str(event.step_key), event.asset_check_evaluation_data.check_name): (event.asset_check_evaluation_data.passed)
        for event in result.all_events
        if event.event_type_value == "ASSET_CHECK_EVALUATION"
    }
