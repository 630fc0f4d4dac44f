import hashlib
from pathlib import Path

import pytest

from cortex_pipelines.augmentation.settings import PinnedEnvironment
from cortex_pipelines.config import load_parameters
from cortex_pipelines.execution.sandbox import sandbox
from cortex_pipelines.execution.sandbox.sandbox import run
from cortex_pipelines.execution.tests.environment import (
    OWN,
    EnvironmentNotMadeError,
    Interpreter,
    declared_packages,
    open_environment,
    own_metadata,
)
from cortex_pipelines.execution.tests.mutant_killing import MutantUnderTest, find_killed
from cortex_pipelines_tests.execution.wheels import only_these, write_wheel
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

SETTINGS = load_parameters(Path(__file__).parents[2]).augmentation.model_copy(
    update={"test_seconds": 10.0, "verification_seconds": 60.0}
)
PYPROJECT = CASES["PYPROJECT"]
pytestmark = pytest.mark.skipif(sandbox.unavailable() is not None, reason=str(sandbox.unavailable()))


def pinned(root: Path, wheel: Path) -> PinnedEnvironment:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    text = f"needle=={wheel.name.split('-')[1]} \\\n    --hash=sha256:{digest}\n"
    (root / "pins.txt").write_text(text)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return PinnedEnvironment(requirements="pins.txt", sha256=sha256)


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    only_these(tmp_path / "index", monkeypatch, {})
    return write_wheel(tmp_path / "index", "needle", "1.5", "EACH = 3\n")


def test_code_runs_with_the_pinned_packages_alone_and_they_are_installed_once(tmp_path: Path, wheel: Path) -> None:
    (tmp_path / "folder").mkdir()

    def output(interpreter: Interpreter) -> bytes:
        command = [str(interpreter.program), "-c", "import needle; print(needle.EACH)"]
        limits = SETTINGS.sandbox_limits(60)
        result = run(command, tmp_path / "folder", limits, interpreter.variables, interpreter.readable_paths)
        return result.stdout + result.stderr

    assert b"No module named 'needle'" in output(OWN)
    assert output(open_environment(pinned(tmp_path, wheel), tmp_path)) == b"3\n"
    environment = pinned(tmp_path, wheel)
    interpreter = open_environment(environment, tmp_path)
    wheel.unlink()
    assert open_environment(environment, tmp_path) == interpreter


def test_what_is_not_as_it_was_pinned_is_refused(tmp_path: Path, wheel: Path) -> None:
    environment = pinned(tmp_path, wheel)
    wheel.unlink()
    write_wheel(wheel.parent, "needle", "1.5", "EACH = 4\n")
    with pytest.raises(EnvironmentNotMadeError, match=r"(?is)`uv pip sync` failed.*hash"):
        open_environment(environment, tmp_path)
    assert not list((tmp_path / ".cortex" / "environments").glob("*-3*"))  # nothing half made
    environment = pinned(tmp_path, wheel)
    (tmp_path / "pins.txt").write_text("needle\n")
    with pytest.raises(EnvironmentNotMadeError, match=r"pins\.txt is another one than was pinned"):
        open_environment(environment, tmp_path)
    (tmp_path / "pins.txt").unlink()
    with pytest.raises(EnvironmentNotMadeError, match=r"pins\.txt is missing: .*test-environment"):
        open_environment(environment, tmp_path)


def test_what_a_project_declares_for_its_tests_is_read() -> None:
    texts = {
        "pyproject.toml": PYPROJECT,
        "setup.cfg": "[options]\ninstall_requires = wool\n[options.extras_require]\ntest = hook\n",
        "requirements-dev.txt": "-r other.txt\nyarn==2  # soft\n-e .\n",
        **{"tests/requirements.txt": "loom\n", "docs/requirements.txt": "furo\n"},
        "setup.py": "raise SystemExit('never run')\n",
    }
    requirements, skipped = declared_packages(texts)
    assert requirements == ["hook", "loom", "needle>=1", "pytest<9", "ruff", "thread", "wool", "yarn==2"]
    assert skipped == ["odd @ https://example.org/odd.whl", "shop[all]"]
    metadata = "Name: shop\nVersion: 2.0\nRequires-Dist: wool\nRequires-Dist: hook; extra == 'test'\n"
    metadata += "Requires-Dist: sphinx; extra == 'docs'\n\nShop sells wool.\n"
    assert declared_packages({"PKG-INFO": metadata}) == (["hook", "wool"], [])
    assert declared_packages({"pyproject.toml": "[project"}) == ([], [])


def test_a_project_finds_its_own_version() -> None:
    (path,) = own_metadata({"pyproject.toml": PYPROJECT})
    assert path == "shop-0.dist-info/METADATA"
    test = "from importlib.metadata import version\n\ndef test_it():\n    assert version('shop')\n"
    texts = {
        "pyproject.toml": PYPROJECT,
        "shop.py": "def price(a: int):\n    return 2 * a\n",
        "test_shop.py": f"from shop import price\n{test}    assert price(2) == 4\n",
    }
    wrong = MutantUnderTest("one", "shop.py", "price", "def price(a):\n    return 0\n")
    assert find_killed([wrong], texts, SETTINGS)["one"][0] == "yes"
    without_metadata = {"shop.py": texts["shop.py"], "test_shop.py": texts["test_shop.py"]}
    assert "PackageNotFoundError" in find_killed([wrong], without_metadata, SETTINGS)["one"][1]


@pytest.mark.parametrize("name", ["../evil", "a/b", ""])
def test_a_name_that_is_a_path_makes_no_file(name: str) -> None:
    assert own_metadata({"PKG-INFO": f"Name: {name}\nVersion: 1\n"}) == {}
    assert own_metadata({"PKG-INFO": "Name: a\nVersion: ../1\n"}) == {
        "a-0.dist-info/METADATA": "Name: a\nVersion: ../1\n"
    }
