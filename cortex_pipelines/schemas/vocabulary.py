"""Values that several tables share: languages, kinds of unit, splits, purposes."""

LANGUAGES = ("python", "javascript", "typescript", "java", "go", "rust")

DEFINITIONS = ("function", "method", "class", "struct", "trait", "interface", "enum")
UNIT_KINDS = (*DEFINITIONS, "import", "variable", "constant")

SPLITS = ("train", "validation", "test")

PURPOSES = ("smell", "performance", "readability", "security")
