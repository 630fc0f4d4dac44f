from cortex_pipelines.settings import Settings, Text


class CheckSettings(Settings):
    """Rules of ``cortex check``; no output depends on it."""

    select: list[Text]
    """Rules that are on besides the default ones (``cortex check --rules``)."""
    ignore: list[Text]
    """Rules that are off."""
