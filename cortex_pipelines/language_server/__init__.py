"""``cortex lsp``: findings and completions in editors, by the Language Server Protocol 3.18."""
