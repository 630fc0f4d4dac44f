"""Usual names of the facts about a task in foreign logs."""

import re
from collections.abc import Mapping
from typing import Any

from cortex_pipelines.coordination.settings import Fact
from cortex_pipelines.words import unseparated_words

_NAMES: Mapping[Fact, tuple[str, ...]] = {
    "task": (
        "task title summary subject task_title headline task_summary short_description request prompt query",
        "description task_description details text message name body question issue instruction content input",
    ),
    "master": (
        "master agent subagent_type routed_to worker expert handler assignment_group team",
        "assignee assigned_to owner queue group component components component_s service department category squad "
        "role resolver responsible handled_by answered_by label labels dag_id",
        "user next goto",
    ),
    "outcome": (
        "outcome success succeeded successful is_success status result conclusion resolution",
        "state exit_code exitcode exit_status return_code returncode rc failed failure failures is_error has_error "
        "error errors num_errors error_count error_message exception passed ok verdict state_reason resolved completed "
        "solved done accepted correct",
    ),
    "time": (
        "timestamp ts time created_at created occurred_at opened_at datetime logged_at",
        "date start_time started_at start_date submitted_at execution_date updated_at updated opened when",
    ),
    "duration": (
        "duration duration_seconds duration_s duration_ms elapsed elapsed_seconds elapsed_ms runtime took",
        "seconds time_to_resolve resolution_time time_spent latency wall_time duration_min duration_minutes",
    ),
    "tokens": ("tokens tokens_used total_tokens token_count tokens_total", "usage n_tokens completion_tokens"),
    "id": (
        "task_id id ticket ticket_id issue_key key incident_number number issue_id",
        "uuid run_id incident_id reference ref record_id issue task_number #",
    ),
}
"""Usual names of each fact, the most specific first."""
_NAMING_PARTS = frozenset(
    {"name", "login", "displayname", "display_name", "display_value", "value", "summary", "title", "username"}
)
"""Last parts of a nested key that add nothing to the part before: ``assignee.login``."""
SPECIFIC, USUAL, WEAK = 3.0, 2.0, 1.0
"""Scores of a record's own keys with a name of the first, second and third row."""


def name_score(fact: Fact, name: str) -> float:
    parts = [_snake(part) for part in name.split(".")]
    spoken = {parts[-1], "_".join(parts)}
    if parts[-1] in _NAMING_PARTS and len(parts) > 1:
        spoken.add(parts[-2])
    for score, names in zip((SPECIFIC, USUAL, WEAK), _NAMES[fact], strict=False):
        if spoken & set(names.split()):
            return score - 0.25 * (len(parts) - 1)
    words = set(re.split(r"_+", parts[-1])) - {"id", "key", "number", "name", "time", "issue"}
    return 0.5 if words & set(_NAMES[fact][0].split()) else 0.0


def _snake(name: str) -> str:
    return re.sub(r"[^a-z0-9#]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_")


def is_task(record: Mapping[str, Any], least: float = USUAL) -> bool:
    """Whether keys of the record itself have names of a task (of that score), in several words, and of a master."""
    texts = [name for name, value in record.items() if isinstance(value, str) and _words(value) > 1]
    has_text = any(name_score("task", name) >= least for name in texts)
    return has_text and any(name_score("master", name) >= USUAL for name in record)


def _words(text: str) -> int:
    return len(text.split()) + unseparated_words(text)
