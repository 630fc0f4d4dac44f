"""The lock files, `make sbom` and `make audit` name the packages of constraints.txt, the last one with advisories."""

import importlib.metadata
import json
import random
import re
import runpy
import string
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from cortex_pipelines_tests.command import run_python
from cortex_pipelines_tests.integration.miniproject import git

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"^([\w.-]+)(?:\[[\w, -]+\])?==([^\s\\;]+)", re.MULTILINE)
LOCKS = ("requirements.lock", "weights.lock")


def pins(*names: str) -> dict[str, str]:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in names]
    return {canonicalize_name(name): pin for text in texts for name, pin in PIN.findall(text)}


def test_no_environment_is_begun_with_another_python(tmp_path: Path) -> None:
    python = tmp_path / "python3.10"
    python.write_text(f"#!{sys.executable}\nimport sys\nsys.version_info = (3, 10, 12)\nexec(sys.argv[2])\n")
    python.chmod(0o755)
    command = ("make", "-C", str(ROOT), f"VENV={tmp_path}/venv", f"PYTHON={python}", f"{tmp_path}/venv/bin/pip")
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode
    assert f"{python} is Python 3.10; choose 3.11, 3.12 or 3.13" in ended.stderr
    assert not (tmp_path / "venv").exists()


def test_lock_and_constraints_name_the_same_versions() -> None:
    locked, pinned = pins(*LOCKS), pins("constraints.txt")
    assert len(pinned) > 200
    assert locked == pinned, "run `make lock` and commit the lock files"


def test_every_locked_version_has_hashes_and_nothing_else() -> None:
    for name in LOCKS:
        text = re.sub(r"^#.*\n", "", (ROOT / name).read_text(encoding="utf-8"))
        for entry in re.split(r"\n(?=\S)", text.strip()):
            # no options or URLs: the machine's configuration selects the package index
            assert re.fullmatch(
                r"[\w.-]+(\[[\w, -]+\])?==\S+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+", entry
            ), entry


def test_torch_is_pinned_without_a_local_version() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    # one hash: that of the build without CUDA
    assert re.search(r"^torch==2\.13\.0 \\\n    --hash=sha256:\w{64}\n\S", lock, re.MULTILINE)


def test_sbom_lists_every_pinned_package_in_its_version(tmp_path: Path) -> None:
    path = tmp_path / "sbom.json"
    # -o install: with the environment that runs this test; validation takes half a minute
    command = ("make", "-C", str(ROOT), "-o", "install", "sbom", f"SBOM={path}")
    options = (f"BIN={Path(sys.executable).parent}", "SBOM_OPTIONS=--no-validate")
    subprocess.run([*command, *options], check=True, capture_output=True)
    sbom = json.loads(path.read_text(encoding="utf-8"))
    assert (sbom["bomFormat"], sbom["metadata"]["component"]["name"]) == ("CycloneDX", "cortex-pipelines")
    components = {canonicalize_name(c["name"]): c["version"] for c in sbom["components"]}
    pinned = pins("constraints.txt")
    assert pinned.keys() <= components.keys()
    for name in pinned:
        assert components[name] == importlib.metadata.version(name)
    assert "timestamp" not in sbom["metadata"], "the same environment gives the same bytes"


JINJA = pins("constraints.txt")["jinja2"]


def advisory(name: str, number: int, *events: dict[str, str], **more: Any) -> dict[str, Any]:
    affected = {
        "package": {"name": name, "ecosystem": "PyPI"},
        "ranges": [{"type": "ECOSYSTEM", "events": list(events)}],
    }
    return {"id": f"MADE-UP-{number}", "summary": "A hole.", "affected": [affected], **more}


def audit(database: Path) -> subprocess.CompletedProcess[str]:
    return run_python(str(ROOT / ".ci" / "audit.py"), "--format=json", AUDIT_DB=str(database))


def reported(process: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    """Advisory ids by package, after checking that all packages were audited."""
    answer = json.loads(process.stdout.split("\n", 1)[1])
    assert len(answer["dependencies"]) == len(pins("constraints.txt"))
    rows = {dependency["name"]: [v["id"] for v in dependency["vulns"]] for dependency in answer["dependencies"]}
    return {name: sorted(ids) for name, ids in rows.items() if ids}


def test_an_advisory_on_a_locked_version_is_reported_and_on_another_is_not(tmp_path: Path) -> None:
    zero, fixed = {"introduced": "0"}, {"fixed": JINJA}
    advisories = advisory("click", 8)
    advisories["affected"][0]["versions"] = [pins("constraints.txt")["click"]]
    made_up = [
        advisory("Jinja2", 1, zero, {"fixed": "99"}),
        advisory("jinja2", 2, zero, fixed),
        advisory("jinja2", 3, {"last_affected": JINJA}, zero),
        advisory("jinja2", 4, zero, fixed, {"introduced": "98"}),
        advisory("jinja2", 5, {"introduced": JINJA}),
        advisory("jinja2", 6, zero, withdrawn="2026-01-01T00:00:00Z"),
        advisory("no-such-package", 7, zero),
        advisories,
    ]
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as wheel:
        for package in made_up:
            wheel.writestr(f"{package['id']}.json", json.dumps(package))
    process = audit(archive)
    assert process.returncode == 1, process.stderr
    assert reported(process) == {"jinja2": ["MADE-UP-1", "MADE-UP-3", "MADE-UP-5"], "click": ["MADE-UP-8"]}


def test_nothing_known_is_no_failure(tmp_path: Path) -> None:
    path = tmp_path / "advisories.json"
    path.write_text(json.dumps(advisory("jinja2", 1, {"introduced": "0"}, {"fixed": JINJA})))
    process = audit(path)
    assert process.returncode == 0, process.stderr
    assert reported(process) == {}


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1]"])
def test_a_file_without_advisories_is_no_clean_bill(tmp_path: Path, text: str) -> None:
    path = tmp_path / "advisories.json"
    path.write_text(text)
    process = audit(path)
    assert process.returncode == 2
    assert "no advisories in the form of OSV" in process.stdout


BIN = Path(sys.executable).parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def passes(*command: str) -> bool:
    process = subprocess.run([BIN / command[0], *command[1:]], capture_output=True, text=True)
    # more than 1 is a tool's own trouble, but zizmor's 11 to 14: the worst of its findings
    assert process.returncode in (0, 1, 11, 12, 13, 14), process.stdout + process.stderr
    return process.returncode == 0


WORSE = {
    "an action by its tag": (r"@[0-9a-f]{40} # v", "@v"),
    "every right": (r"permissions:( {}|\n  contents: read)", "permissions: write-all"),
    "the token left on disk": (r"persist-credentials: false", "path: x"),
}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_pin_actions_and_have_few_rights(tmp_path: Path, path: Path) -> None:
    zizmor = ("zizmor", "--offline", "--persona", "pedantic", "--quiet", "--no-progress", str(tmp_path))
    changed = tmp_path / ".github" / "workflows" / path.name
    changed.parent.mkdir(parents=True)
    text = path.read_text(encoding="utf-8")
    changed.write_text(text, encoding="utf-8")
    assert passes(*zizmor)
    for defect, (pattern, worse) in WORSE.items():
        changed.write_text(re.sub(pattern, worse, text, count=1), encoding="utf-8")
        assert not passes(*zizmor), defect


def test_container_is_as_hadolint_wants_it_and_not_root(tmp_path: Path) -> None:
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    changed = tmp_path / "Containerfile"
    changed.write_text(text.replace("USER 10001", "USER root"), encoding="utf-8")
    assert passes("hadolint", str(ROOT / "Containerfile"))
    assert not passes("hadolint", str(changed))


LETTERS = string.ascii_letters + string.digits
# generated here: a key in this file would be reported
KEY, OTHER = ("ghp_" + "".join(random.Random(seed).choices(LETTERS, k=36)) for seed in (1, 2))


def test_a_planted_key_fails_the_check_until_it_is_allowed_and_is_not_printed(tmp_path, monkeypatch, capsys) -> None:
    main = runpy.run_path(str(ROOT / ".ci" / "leaks.py"))["main"]

    def leaks(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["leaks.py", *arguments, str(tmp_path)])
        return main(), capsys.readouterr().out

    git(tmp_path, "init", "-q")
    (tmp_path / "settings.py").write_text(f"import os\n\nTOKEN = '{KEY}'\n")
    assert leaks() == (0, ""), "untracked files are ignored"
    git(tmp_path, "add", ".")
    status, printed = leaks()
    assert status == 1
    assert printed.startswith("settings.py:3: ")
    assert KEY[4:] not in printed
    assert (leaks("--accept")[0], leaks()) == (0, (0, ""))
    with (tmp_path / "settings.py").open("a") as file:
        file.write(f"SPARE = '{OTHER}'\n")
    status, printed = leaks()
    assert status == 1, "what is allowed is one value, not a file"
    assert printed.startswith("settings.py:4: ")
    assert printed.count("settings.py") == 1
