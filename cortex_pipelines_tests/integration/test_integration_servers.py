import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cortex_pipelines.atomic import replace_folder
from cortex_pipelines.tracking.store import open_client
from cortex_pipelines.versioning.project import read_yaml, write_yaml
from cortex_pipelines_tests.integration import servers
from cortex_pipelines_tests.integration.miniproject import BIN, MiniProject, run_in
from cortex_pipelines_tests.messages import missing
from cortex_pipelines_tests.versioning.toy import run_dvc

pytestmark = pytest.mark.slow
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "servers.md"
MADE = ("repository_files", "repository_commits", "compliance")


@pytest.fixture(scope="module")
def s3_address() -> Iterator[str]:
    with servers.running_s3() as address:
        yield address


@pytest.fixture
def stored(begun: MiniProject, s3_address: str, monkeypatch: pytest.MonkeyPatch) -> MiniProject:
    variables = {
        **{"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_DEFAULT_REGION": "us-east-1"},
        "MLFLOW_S3_ENDPOINT_URL": s3_address,
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": f"s3://{servers.BUCKET}/mlflow",
    }
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    run_dvc(begun.root, "remote", "add", "-d", "store", f"s3://{servers.BUCKET}/dvc")
    run_dvc(begun.root, "remote", "modify", "store", "endpointurl", s3_address)
    return begun


@pytest.fixture(scope="module")
def server() -> Iterator[servers.Postgres]:
    pytest.importorskip("dagster_postgres", reason="the extra `servers` is not installed")
    programs = servers.postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql")
    with servers.running_postgres(programs) as running:
        yield running


@pytest.fixture
def shared(begun: MiniProject, server: servers.Postgres, monkeypatch: pytest.MonkeyPatch) -> MiniProject:
    server.start()
    (settings,) = re.findall(r"```yaml\n# .dagster/dagster.yaml\n(.*?)```", GUIDE.read_text(), re.S)
    path = begun.root / ".dagster" / "dagster.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(settings)
    values = read_yaml(path)
    database = values["storage"]["postgres"]["postgres_db"]
    # names of this test alone: MLflow looks for its tables once in a process
    databases = (f"{database['db_name']}_{begun.root.parent.name}", f"mlflow_{begun.root.parent.name}")
    database |= {"hostname": "127.0.0.1", "port": server.port, "db_name": databases[0]}
    write_yaml(path, values)
    for name in databases:
        server.create(name)
    monkeypatch.setenv("PGPASSWORD", server.password)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url(databases[1]))
    return begun


def rows(mini: MiniProject) -> dict[str, dict[str, Any]]:
    return {row["asset"]: row for row in mini.status() if row["dvc_md5"]}


def agree(row: dict[str, Any]) -> bool:
    versions = {row[view] for view in ("data_version", "dvc_md5", "mlflow_digest")}
    return bool(row["fresh"]) and len(versions) == 1


def process(mini: MiniProject, *words: str) -> subprocess.Popen[str]:
    variables = {name: value for name, value in os.environ.items() if name != "CORTEX_ROOT"}
    return subprocess.Popen([BIN / "cortex", *words], cwd=mini.root, env=variables, stderr=subprocess.PIPE, text=True)


def test_outputs_and_artifacts_are_kept_in_s3(stored: MiniProject, s3_address: str) -> None:
    mini, words = stored, ("run", *MADE, "--project", "beta")
    mini.cortex(*words)
    before = rows(mini)
    assert all(agree(before[name]) for name in MADE)
    report = mini.root / "data" / "compliance" / "beta" / "compliance.json"
    first, report_bytes = before["compliance"]["run_id"], report.read_bytes()
    names = {key.rpartition("/artifacts/")[2] for key in servers.objects(s3_address, f"mlflow/data-beta/{first}/")}
    assert names == {"compliance.json", "report.html"}
    assert Path(open_client(mini.root).download_artifacts(first, report.name)).read_bytes() == report_bytes
    targets = [f"{name}@beta" for name in MADE]
    run_in(mini.root, "dvc", "push", *targets)
    shutil.rmtree(mini.root / ".dvc" / "cache")
    for name in MADE:
        shutil.rmtree(mini.root / "data" / name)
    mini.cortex("sync")
    assert rows(mini)["compliance"]["data_version"] is None
    run_in(mini.root, "dvc", "pull", *targets)
    mini.cortex("sync")
    assert rows(mini) == before
    mini.cortex("forget", "--path", "stack.go", "--project", "beta")
    mini.cortex(*words)
    output = mini.cortex("forget", "--purge").stderr
    assert f"the remote store (s3://{servers.BUCKET}/dvc) may still hold former versions" in output
    assert servers.objects(s3_address, f"mlflow/data-beta/{first}/") == []
    assert servers.objects(s3_address, f"mlflow/data-beta/{rows(mini)['compliance']['run_id']}/")
    paper = mini.root.parent / "certificate.json"
    mini.cortex("forget", "--certificate", str(paper))
    assert f"DVC remote store: s3://{servers.BUCKET}/dvc" in paper.read_text()


def test_two_processes_share_postgresql_from_its_first_use(shared: MiniProject) -> None:
    commands = (("coordination_events",), ("repository_files", "--project", "beta"))
    both = [process(shared, "run", *words) for words in commands]
    errors = [running.communicate()[1] for running in both]
    assert [running.returncode for running in both] == [0, 0], errors
    status_rows = rows(shared)
    assert status_rows.keys() == {"coordination_events", "repository_files"}
    assert all(agree(row) for row in status_rows.values())
    assert not (shared.root / ".mlflow" / "mlflow.db").exists()
    assert not (shared.root / ".dagster" / "history").exists()
    assert not (shared.root / ".cortex" / "status.json").exists(), "others may change the answer"


def test_a_stopped_server_is_named_and_loses_nothing(shared: MiniProject, server: servers.Postgres) -> None:
    mini, words = shared, ("run", "coordination_events")
    mini.cortex(*words)
    before = mini.outputs()
    server.stop()
    (error,) = process(mini, *words).communicate()[1].splitlines()
    assert missing(error, "the PostgreSQL server of Dagster or MLflow cannot be used", "Connection refused") == []
    assert server.password not in error
    assert mini.cortex("status", status=1).stderr.partition(" (traceback")[0] in error
    assert mini.outputs() == before
    server.start()
    assert agree(rows(mini)["coordination_events"])


def test_a_run_whose_server_stops_is_made_up_for_by_the_next(shared: MiniProject, server: servers.Postgres) -> None:
    mini, words = shared, ("run", "repository_files", "--project", "beta")

    def stop_first(scratch: Path, target: Path) -> None:
        server.stop()
        replace_folder(scratch, target)

    publishing = "cortex_pipelines.versioning.materialise.replace_folder"
    # Dagster waits six seconds for each of sixteen events
    with mock.patch(publishing, stop_first), mock.patch("dagster_postgres.utils.calculate_delay", return_value=0.0):
        output = mini.cortex(*words, status=1).stderr
    assert "the PostgreSQL server of Dagster or MLflow cannot be used" in output.splitlines()[-1]
    assert "Traceback" not in output
    server.start()
    mini.cortex(*words)
    assert agree(rows(mini)["repository_files"])
