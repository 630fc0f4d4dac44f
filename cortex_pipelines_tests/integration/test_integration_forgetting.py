import json
import shutil
from pathlib import Path

import pytest

from cortex_pipelines.config import load_parameters
from cortex_pipelines.feedback.project_feedback import gateway_log
from cortex_pipelines.feedback.store import EventLog
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, logs_key, project_key
from cortex_pipelines.release.experiments.plan import ExperimentLog, ExperimentSpec, append
from cortex_pipelines.serving.security.audit import FILE, AuditLog, verify
from cortex_pipelines.serving.security.keys import KeyRing
from cortex_pipelines.signing.keys import keys_folder
from cortex_pipelines_tests.integration.miniproject import MiniProject, git
from cortex_pipelines_tests.integration.planted import holding

pytestmark = pytest.mark.slow
PERSON = "wombat.keeper@example.org"
OTHER = "emu.keeper@example.org"
CODE = "numbatledger"
IMPORTED = "corrections.jsonl"
PLAN = ExperimentSpec("e1", "alpha", "base", "context", 0.5, "accepted", 0.1, 100, 0.1, None, "2026-01-01", "a", "b")

TOMBSTONES = (
    *("params.yaml", ".cortex/kept/params.yaml", "dvc.lock", ".cortex/kept/dvc.lock"),
    *("data/parameters/", ".dvc/cache/runs", ".mlflow/mlflow.db", ".cortex/deletions/"),
)
"""Where the tombstones stand, and with them pseudonyms: the parameters and what records these."""


def stones_of(root: Path, name: str) -> list[bytes]:
    privacy = load_parameters(root).privacy
    keys = [logs_key(privacy), *(project_key(project, privacy) for project in ("alpha", "beta"))]
    return [author_pseudonym(name, key).encode() for key in keys]


@pytest.fixture(scope="module")
def planted_once(shared_begun: MiniProject, tmp_path_factory: pytest.TempPathFactory) -> MiniProject:
    mini = shared_begun.copy(tmp_path_factory.mktemp("planted") / "own")
    plant(mini)
    return mini


@pytest.fixture
def planted(planted_once: MiniProject, tmp_path: Path) -> MiniProject:
    shutil.copy(planted_once.root.parent / IMPORTED, tmp_path)
    return planted_once.copy(tmp_path / "own")


def plant(mini: MiniProject) -> None:
    root, state = mini.root, gateway_log(mini.root).parent
    mini.edit_params(lambda values: values["feedback"].update(consent=["alpha", "beta"]))
    privacy = load_parameters(root).privacy
    events = EventLog(state, lambda user: author_pseudonym(user, logs_key(privacy)))
    audit, keys, experiments = AuditLog(state), KeyRing(keys_folder(root)), ExperimentLog(state)
    experiments.write(PLAN)
    lines = []
    for number, name in enumerate((PERSON, OTHER)):
        event = {"type": "offered", "completion_id": f"c{number}", "project": "alpha"}
        events.add(event | {"characters": 9}, name)
        vote = {"type": "feedback", "completion_id": f"c{number}", "vote": "down"}
        events.add(vote | {"original": "x", "correction": f"{CODE}_{number} = 1"}, name)
        audit.add({"key": name, "route": "/v1/completions", "status": 200})
        keys.create(name)
        answer = {"id": f"c{number}", "arm": "a", "unit": PLAN.unit(name), "became": "answered"}
        append(experiments.answers(PLAN), answer)
        text = ("memory", "add", f"{CODE}_{number} is a book", "--project", "beta")
        mini.cortex(*text, "--author", name)
        path = f"{('vault', 'open')[number]}/a.py"
        lines.append({"corrected": f"{CODE}_{number}", "user": name, "path": path})
        lines.append({"corrected": f"{CODE}_path_{number}", "user": "third", "path": path})
        repository = root / "sources" / "alpha"
        (repository / f"{number}.py").write_text(f"def {CODE}_{number}():\n    return {number}\n")
        git(repository, "add", "-A")
        git(repository, "commit", "-q", "-m", f"add {CODE}_{number}", f"--author=K <{name}>")
    imported = root.parent / IMPORTED
    imported.write_text("".join(json.dumps(line) + "\n" for line in lines))
    mini.cortex("feedback", "import", str(imported), "--project", "beta")
    for relative_path in ("logs/error-1.log", "damaged/params.yaml.1", "cache/checkpoints/shop"):
        file = root / ".cortex" / relative_path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{CODE}_0 of {PERSON}")
    mini.cortex("update")
    mini.cortex("run", "repository_files", "repository_commits", "interactions")


def test_no_byte_of_a_person_is_left_in_any_place(planted: MiniProject) -> None:
    root, state = planted.root, gateway_log(planted.root).parent
    head = verify(state / FILE).head
    logged, *pseudonyms = stones_of(root, PERSON)
    before = holding(root, PERSON.encode()) | holding(root, logged)
    before |= holding(root, f"{CODE}_0".encode()) | holding(root, PLAN.unit(PERSON).encode())
    before |= {path for pseudonym in pseudonyms for path in holding(root, pseudonym)}
    expected = {
        *(".cortex/serving/audit.jsonl", ".cortex/serving/events.jsonl", ".cortex/keys/api.json"),
        *(".cortex/serving/experiments", ".cortex/memory/beta.sqlite"),
        *(".cortex/damaged/params.yaml.1", ".cortex/logs/error-1.log"),
        *(".cortex/cache/checkpoints", "data/repository_commits/alpha"),
        *("data/interactions/interactions.parquet", "data/repository_files/alpha"),
    }
    assert expected <= before, "this test sees what it has planted"
    assert any(path.startswith(".cortex/feedback/") for path in before)

    result = planted.cortex("forget", "--author", PERSON)
    for words in ("4 events of feedback", "2 events of the gateway", "1 names in the audit log"):
        assert words in result.stderr
    planted.cortex("run", "repository_files", "repository_commits", "interactions")
    mirrors = list((root / ".cortex" / "cache" / "git").glob("*/HEAD"))
    assert mirrors
    result = planted.cortex("forget", "--purge")
    assert f"{len(mirrors)} copies of sources" in result.stderr

    for trace in (PERSON, f"{CODE}_0", PLAN.unit(PERSON)):
        assert holding(root, trace.encode()) == set()
    for pseudonym in (logged, *pseudonyms):
        assert all(path.startswith(TOMBSTONES) for path in holding(root, pseudonym))
    assert not list((root / ".cortex" / "cache" / "git").glob("*/HEAD"))
    for trace in (f"{CODE}_1", f"{CODE}_path_0", PLAN.unit(OTHER), OTHER):
        assert holding(root, trace.encode()), "what was not asked for stays"

    verification = verify(state / FILE, head)
    assert (verification.problem, verification.redacted, verification.entries) == ("", 1, 3)
    paper = root.parent / "certificate.json"
    planted.cortex("forget", "--certificate", str(paper))
    assert "as it was signed" in planted.cortex("verify", str(paper)).stderr
    certificate = json.loads(paper.read_text())
    assert PERSON not in paper.read_text()
    assert certificate["removed"]["names in the audit log"] == certificate["audit_log"]["redacted"] == 1
    rebuilt = {row["output"]: row["rebuilt"] for row in certificate["outputs"]}
    assert rebuilt["interactions"]
    assert rebuilt["repository_commits@alpha"]
    assert not certificate["outstanding"]
    paper.write_text(paper.read_text().replace('"outstanding": []', '"outstanding": [ ]'))
    assert "it was modified" in planted.cortex("verify", str(paper), status=1).stderr
    KeyRing(keys_folder(root)).create(PERSON)  # who comes back is somebody new
    again = planted.cortex("feedback", "import", str(root.parent / IMPORTED))
    assert "is forgotten" in again.stderr
    assert holding(root, f"{CODE}_0".encode()) == set()


def test_a_path_and_a_user_are_forgotten_in_feedback_as_in_sources(planted: MiniProject) -> None:
    root = planted.root
    assert holding(root, f"{CODE}_path_0".encode())
    planted.cortex("forget", "--path", "vault/**", "--project", "beta")
    planted.cortex("forget", "--user", OTHER)
    planted.cortex("run", "interactions")
    planted.cortex("forget", "--purge")
    assert holding(root, f"{CODE}_path_0".encode()) == set()
    assert holding(root, f"{CODE}_path_1".encode())
    remaining = holding(root, stones_of(root, OTHER)[0])
    assert all(path.startswith(TOMBSTONES) for path in remaining)
    assert holding(root, PLAN.unit(OTHER).encode()) == set()
    assert "data/repository_commits/alpha" in holding(root, stones_of(root, OTHER)[1]), "a user is not an author"
