"""The console command, run in the process of a test, and programs in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from cortex_pipelines.cli.main import main


def cortex(*words: object, status: int = 0, typed: str | None = None) -> Result:
    """What a command prints; it has to end with this status."""
    result = CliRunner().invoke(main, [str(word) for word in words], input=typed)
    assert result.exit_code == status, result.output
    return result


def run_python(*words: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """A process of this interpreter with more variables in its environment, run to its end."""
    command, environment = [sys.executable, *words], os.environ | variables
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
