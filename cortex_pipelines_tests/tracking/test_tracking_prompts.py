from pathlib import Path

from cortex_pipelines.prompts.templates import project_templates
from cortex_pipelines.tracking.registry import register_templates
from cortex_pipelines.tracking.store import open_client


def test_each_content_is_registered_once(tmp_path: Path) -> None:
    packaged = project_templates(tmp_path)
    first = register_templates(tmp_path, packaged)
    assert (set(first), set(first.values())) == ({f"prompt-{name}" for name in packaged.by_name}, {1})
    for folder in (tmp_path / "prompts", tmp_path / "prompts" / "short"):
        folder.mkdir()
        (folder / "architecture.jinja").write_text(f"{{{{ given }}}} {folder.name}\n")
    templates = project_templates(tmp_path)
    second = register_templates(tmp_path, templates)
    assert second == first | {"prompt-architecture": 2, "prompt-architecture-short": 1}
    assert register_templates(tmp_path, templates) == second
    assert register_templates(tmp_path, packaged) == first, "what was there before is there still"
    client = open_client(tmp_path)
    stored = client.get_prompt_version("prompt-architecture", 2)
    assert stored.template == templates["architecture"].text
    assert stored.tags["template"] == templates["architecture"].version
    assert stored.format(given="a service").strip() == templates.render("architecture", given="a service")
    assert client.search_registered_models() == [], "no model among the project's"
