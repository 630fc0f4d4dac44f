"""Detect a file's language by name or first line."""

import re
from pathlib import PurePath, PurePosixPath

from cortex_pipelines.syntax.grammars import PARSED

_BY_ENDING = {
    "python": "py pyi pyw",
    "javascript": "js mjs cjs jsx",
    "typescript": "ts mts cts tsx",
    "java": "java",
    "go": "go",
    "rust": "rs",
    "c": "c h",
    "cpp": "cc cpp cxx hh hpp hxx",
    "csharp": "cs",
    "kotlin": "kt kts",
    "groovy": "groovy gradle",
    "scala": "scala",
    "swift": "swift",
    "ruby": "rb gemspec",
    "php": "php",
    "perl": "pl pm",
    "lua": "lua",
    "r": "r",
    "cython": "pyx pxd",
    "shell": "sh bash zsh ksh",
    "powershell": "ps1 psm1",
    "sql": "sql",
    "scheme": "scm",
    "html": "html htm",
    "css": "css scss less",
    "vue": "vue",
    "svelte": "svelte",
    "json": "json jsonl json5 webmanifest",
    "yaml": "yaml yml",
    "toml": "toml",
    "ini": "ini cfg properties",
    "xml": "xml xsd xsl svg",
    "protobuf": "proto",
    "graphql": "graphql graphqls gql",
    "terraform": "tf",
    "jupyter": "ipynb",
    "markdown": "md mdx markdown",
    "restructuredtext": "rst",
    "csv": "csv tsv",
    "diff": "diff patch",
    "text": "txt adoc asciidoc",
    "dockerfile": "dockerfile",
}
_BY_NAME = {
    "dockerfile": "Dockerfile Containerfile",
    "make": "Makefile makefile GNUmakefile",
    "cmake": "CMakeLists.txt",
    "toml": "Cargo.lock poetry.lock uv.lock Pipfile",
    "json": ".babelrc .eslintrc composer.lock Pipfile.lock",
    "go-module": "go.mod go.sum go.work",
    "starlark": "BUILD BUILD.bazel WORKSPACE",
    "ruby": "Rakefile Gemfile",
    "python": "SConstruct SConscript wscript",
    "ini": ".editorconfig .gitconfig .npmrc .pylintrc",
    "shell": ".bashrc .profile .zshrc",
    "ignore": ".gitignore .dockerignore .npmignore .dvcignore",
    "text": "LICENSE COPYING NOTICE AUTHORS",
}
_BY_INTERPRETER = {
    "python": r"(python|pypy)[\d.]*",
    "javascript": r"node|nodejs",
    "typescript": r"deno|ts-node|tsx|bun",
    "shell": r"sh|bash|zsh|dash|ksh",
    "ruby": r"ruby",
    "perl": r"perl",
    "php": r"php",
    "lua": r"lua",
    "rust": r"rust-script",
    "make": r"make",
}
_ENDINGS = {end: language for language, ends in _BY_ENDING.items() for end in ends.split()}
_NAMES = {name: language for language, names in _BY_NAME.items() for name in names.split()}
_SHEBANG = re.compile(r"#!\s*(\S+)(.*)")


def language_of(path: str, text: str) -> str | None:
    """None if neither the name nor the first line of a file determines it."""
    name = PurePosixPath(path).name
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    by_path = _NAMES.get(name) or _ENDINGS.get(ending)
    if by_path == "typescript" and text.lstrip("\ufeff \r\n\t").startswith("<"):
        return "xml"  # Qt's translations end in .ts too
    match = None if by_path else _SHEBANG.match(text.removeprefix("\ufeff").partition("\n")[0])
    if not match:
        return by_path
    words = [match[1], *match[2].split()]
    if PurePosixPath(words[0]).name == "env":
        # options and assignments of variables stand before the interpreter
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    interpreter = PurePosixPath(words[0]).name if words else ""
    matches = (name for name, form in _BY_INTERPRETER.items() if re.fullmatch(form, interpreter))
    return next(matches, None)


def is_code(path: PurePath | str) -> bool:
    """Whether the name of a file says that its language is parsed."""
    return language_of(str(path), "") in PARSED
