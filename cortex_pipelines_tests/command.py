"""The console command, run in the process of a test."""

from click.testing import CliRunner, Result

from cortex_pipelines.cli.main import main


def cortex(*words: str, status: int = 0) -> Result:
    """What a command prints; it has to end with this status."""
    result = CliRunner().invoke(main, words)
    assert result.exit_code == status, result.output
    return result
