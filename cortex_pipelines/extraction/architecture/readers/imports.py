"""Read modules (their docstring or leading comment), packages and imports of code."""

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import IMPORT, NAME, Fact, detail
from cortex_pipelines.extraction.architecture.sourcefile import NOT_DESCRIPTIVE, SourceFile, fact_reader
from cortex_pipelines.extraction.architecture.syntax import (
    arguments_of,
    child,
    child_text,
    enclosing,
    lines_of,
    name_of,
    named_children,
    package_names,
    string_value,
    text,
)
from cortex_pipelines.extraction.documentation import comment_text, docstring_text
from cortex_pipelines.syntax.grammars import PARSED

_MAX_LEVELS = 32
_TOP_LINES = 200
_DOCSTRING = re.compile(
    r"(?:[ \t]*(?:#[^\n]*)?\n)*[rRuU]?(\"\"\".*?\"\"\"|'''.*?'''|\"[^\"\n]*\"|'[^'\n]*')", re.DOTALL
)
# after blank lines
_COMMENT = re.compile(r"(?:[ \t]*\n|#![^\[\n]*\n)*+((?:[ \t]*//[^\n]*\n)+|/\*.*?\*/[ \t]*\n?)", re.DOTALL)
_AFTER_COMMENT = ("\n", "import", "'use", '"use', "const ")
_LANGUAGE_CRATES = frozenset({"alloc", "core", "std"})
_INNER = re.compile(r"^[ \t]*//!", re.MULTILINE)


def _import(node: Node, module: str, language: str | None, relation: str = "imports", **details: Any) -> Fact:
    return Fact(*lines_of(node), IMPORT, "", relation, module, language, detail=detail(**details))


@fact_reader(lambda file: file.language == "go")
def go_imports(file: SourceFile) -> Iterator[Fact]:
    """The file's package, and one import per path with its local name."""
    for node in file.nodes("package"):
        yield Fact(*lines_of(node), NAME, "", "is", text(node).removeprefix("package").strip(), "go")
    for node in file.nodes("import"):
        path = string_value(node.child_by_field_name("path"))
        if path:
            names = [name_of(node)] if name_of(node) else package_names(path)
            yield _import(node, path, "go", names=[("", name) for name in names])


@fact_reader(lambda file: file.language == "java")
def java_imports(file: SourceFile) -> Iterator[Fact]:
    """The file's package, and one import per name (``.*`` kept)."""
    for node in file.nodes("package"):
        name = "".join(text(node).removeprefix("package").rstrip(";").split())
        yield Fact(*lines_of(node), NAME, "", "is", name, "java")
    for node in file.nodes("import"):
        words = text(node).removeprefix("import").rstrip("; \t\r\n").split()
        yield _import(node, "".join(words[1:] if words[:1] == ["static"] else words), "java")


@fact_reader(lambda file: file.language in ("javascript", "typescript"))
def javascript_imports(file: SourceFile) -> Iterator[Fact]:
    """One import, re-export or ``require`` per module, with its local names."""
    for node in file.nodes("import"):
        if node.type == "call_expression":
            module, names = string_value(next(iter(arguments_of(node)), None)), _required_names(node)
        else:
            source = node.child_by_field_name("source")
            module = string_value(source or next((c for c in node.children if c.type == "string"), None))
            names = _imported_names(node)
        if module:
            yield _import(node, module, file.language, names=names)


def _imported_names(node: Node) -> list[tuple[str, str]]:
    """Pairs of exported and local name; ``default`` and ``*`` as in the language."""
    names: list[tuple[str, str]] = []
    clause = next((c for c in node.named_children if c.type.endswith(("clause", "namespace_export"))), None)
    if clause is not None and clause.type == "namespace_export":
        return [("*", text(name)) for name in clause.named_children]
    for part in [clause] if clause is not None and clause.type == "export_clause" else named_children(clause):
        if part.type == "identifier":
            names.append(("default", text(part)))
        elif part.type == "namespace_import":
            names += [("*", text(name)) for name in part.named_children[-1:]]
        elif part.type in ("named_imports", "export_clause"):
            names += [(name_of(name), child_text(name, "alias") or name_of(name)) for name in part.named_children]
    return names


def _required_names(node: Node) -> list[tuple[str, str]]:
    outer, member = node.parent, ""
    if outer is not None and outer.type == "member_expression":  # require("./m").member
        member, outer = child_text(outer, "property"), outer.parent
    if outer is None or outer.type != "variable_declarator":
        return []
    pattern = outer.child_by_field_name("name")
    if pattern is None or pattern.type != "object_pattern":
        return [(member or "default", text(pattern))]
    names = []
    for part in pattern.named_children if not member else ():  # names in a member are not names of the module
        if part.type == "pair_pattern":
            names.append((child_text(part, "key"), child_text(part, "value")))
        else:
            has_default = part.type == "object_assignment_pattern"
            name = text((child(part, "left") if has_default else None) or part)
            names.append((name, name))
    return names


@fact_reader(lambda file: file.language == "python")
def python_imports(file: SourceFile) -> Iterator[Fact]:
    """One import per module: its dotted name, with leading dots if relative."""
    for node in file.nodes("import"):
        module = node.child_by_field_name("module_name")
        names = [
            (name_of(name), child_text(name, "alias")) if name.type == "aliased_import" else (text(name), text(name))
            for name in node.children_by_field_name("name")
        ]
        if module is not None:
            yield _import(node, "".join(text(module).split()), "python", names=names or [("*", "*")])
        else:
            for dotted, alias in names:
                local = alias if alias != dotted else dotted.split(".")[0]
                yield _import(node, dotted, "python", names=[("", local)])


@fact_reader(lambda file: file.language == "rust")
def rust_imports(file: SourceFile) -> Iterator[Fact]:
    """Submodules declared by ``mod``, one import per path in a ``use``, and the modules of paths that have none.

    The latter are known by their whole path, with dots.
    """
    inline, bound = set[str](), set[tuple[str, ...]]()
    for node in file.nodes("mod"):
        inside = _enclosing_modules(node)
        bound.add((*inside, name_of(node)))
        if node.child_by_field_name("body") is None:
            yield _import(node, "self::" + name_of(node), "rust", "declares", inside=inside)
        else:
            inline.add(name_of(node))
    for node in file.nodes("import"):
        inside = _enclosing_modules(node)
        if node.type == "extern_crate_declaration":
            yield _import(node, "::" + name_of(node), "rust", inside=inside)
        else:
            for path, leaf in _use_paths(node.child_by_field_name("argument"), "", 0):
                last = path.rpartition("::")[2]
                local = child_text(leaf.parent, "alias") or last
                bound.add((*inside, local))
                if path.split("::")[0] not in inline:
                    names = [(last, local)] if local != last else []
                    yield _import(leaf, path, "rust", inside=inside, names=names)
    paths: set[tuple[str, ...]] = set()
    for node in file.nodes("path"):
        words, inside = _module_words(node), _enclosing_modules(node)
        if not words or words[0] in _LANGUAGE_CRATES or (*inside, words[0]) in bound:
            continue
        inside = inside if words[0] == "super" else []
        if (*inside, *words) not in paths:
            paths.add((*inside, *words))
            module = "::".join(words if words[0] in ("crate", "super") else ["", *words])
            yield _import(node, module, "rust", inside=inside, path=".".join(words))


def _module_words(node: Node) -> list[str]:
    """The modules that a path in code begins with; none of a part of a longer path."""
    parent = node.parent
    if parent is not None and parent.type.startswith(("scoped_", "use_", "visibility_")):
        return []
    words = takewhile(str.isidentifier, "".join(text(node).split()).split("::")[:-1])
    return list(takewhile(str.islower, words))


def _enclosing_modules(node: Node) -> list[str]:
    names: list[str] = []
    outer = enclosing(node, "mod_item")
    while outer is not None:
        names.insert(0, name_of(outer))
        outer = enclosing(outer, "mod_item")
    return names


def _use_paths(node: Node | None, prefix: str, level: int) -> Iterator[tuple[str, Node]]:
    if node is None or level > _MAX_LEVELS:
        return
    if node.type == "use_as_clause":
        yield from _use_paths(node.child_by_field_name("path"), prefix, level + 1)
    elif node.type == "use_list":
        for part in node.named_children:
            yield from _use_paths(part, prefix, level + 1)
    elif node.type == "scoped_use_list":
        path = prefix + "".join(child_text(node, "path").split())
        yield from _use_paths(node.child_by_field_name("list"), path + "::", level + 1)
    elif node.type == "use_wildcard":
        children = node.named_children
        yield prefix + ("".join(text(children[0]).split()) if children else "") + "::*", node
    elif node.type in ("identifier", "scoped_identifier", "crate", "self", "super"):
        path = "".join(text(node).split())
        yield (prefix.removesuffix("::") if path == "self" and prefix else prefix + path), node


@fact_reader(lambda file: file.language in PARSED)
def modules(file: SourceFile) -> Iterator[Fact]:
    """The module; its declarations are filled in from its units."""
    top = "\n".join(file.lines[:_TOP_LINES]) + "\n"
    description, last, kind = None, 1, ""
    match = _DOCSTRING.match(top) if file.language == "python" else _leading_comment(file, top)
    if match and file.language == "python":
        description, last, kind = docstring_text(match[1]), top.count("\n", 0, match.end()) + 1, "docstring"
    elif match:
        description = comment_text(_INNER.sub("//", match[1]).rstrip())
        last, kind = top.count("\n", 0, match.end()) or 1, "comment"
    yield Fact(1, last, "module", "", "declares", "", file.language, description, kind)


def _leading_comment(file: SourceFile, top: str) -> re.Match[str] | None:
    """The first comment that describes the file."""
    offset = 0
    while match := _COMMENT.match(top, offset):
        if not NOT_DESCRIPTIVE.search(match[1]):
            following = top[match.end() :]
            if file.language == "rust":
                is_about_file = match[1].lstrip().startswith(("//!", "/*!"))
            elif file.language in ("go", "java"):
                is_about_file = following.lstrip().startswith("package")
            else:
                is_about_file = following.startswith(_AFTER_COMMENT) or not following.strip()
            if is_about_file:
                return match
        offset = match.end()
    return None
