"""Values that several tables share: languages, kinds of unit, splits, purposes."""

LANGUAGES = ("python", "javascript", "typescript", "java", "go", "rust")

UNIT_KINDS = ("function", "method", "class", "struct", "trait", "interface", "enum", "import", "variable", "constant")

SPLITS = ("train", "validation", "test")

PURPOSES = ("smell", "performance", "readability", "security")
