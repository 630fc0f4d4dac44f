"""How ``cortex --help`` is grouped, and what is suggested for a command that there is not."""

from difflib import get_close_matches

GROUPS = {
    "Start here": "init add run summary report serve",
    "Build": "status retrain sync update params doctor dvc-yaml test-environment tune-machine resolve",
    "Models": "models releases promote rollback lineage reproduce export verify router route explain predict "
    "off-policy study leaderboard forecast",
    "Serve": "latency suggest predict-batch mcp lsp keys audit experiment prompts feedback review",
    "Search and check code": "search context graph index check memory extract mutate patterns refactorings defects",
    "Data and privacy": "logs card dictionary drift anomalies scan forget remove",
    "Operate": "backup restore completion",
}
"""Commands by heading, in the order in which they are shown."""

_ALIASES = {
    **dict.fromkeys(("repro", "materialize", "materialise", "build"), "run"),
    **dict.fromkeys(("dev", "up"), "serve"),
    **dict.fromkeys(("dag", "trace"), "lineage"),
    "log": "releases",
    **dict.fromkeys(("grep", "find"), "search"),
    "st": "status",
    "lint": "check",
    "config": "params",
}
"""What users of git, dvc and dagster type, run as what it means here; nothing that deletes or promotes."""


def alias(word: str) -> str | None:
    return _ALIASES.get(word)


_OTHER_WORDS = {
    **dict.fromkeys(("make", "train", "start-run"), "run"),
    **dict.fromkeys(("history", "registry"), "releases"),
    **dict.fromkeys(("state", "diff"), "status"),
    **dict.fromkeys(("server", "start", "gateway"), "serve"),
    **dict.fromkeys(("import", "import-url", "clone"), "add"),
    **dict.fromkeys(("new", "create", "scaffold"), "init"),
    **dict.fromkeys(("analyse", "analyze"), "check"),
    **dict.fromkeys(("pull", "push", "fetch", "gc", "checkout"), "dvc"),
    **dict.fromkeys(("settings", "parameters"), "params"),
    "provenance": "lineage",
    "deploy": "promote",
    "undo": "rollback",
    "delete": "remove",
}
"""What users of git, dvc, dagster and mlflow type."""


def suggestion(word: str, commands: list[str]) -> str:
    """The end of a message about a command, asset or project that there is not; empty if none is like it."""
    other = _OTHER_WORDS.get(word.lower())
    if other == "dvc" and "run" in commands:
        return f"; that is DVC's: `dvc {word}`"
    if other in commands:
        return f"; did you mean {other}?"
    close = get_close_matches(word.lower(), commands, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
