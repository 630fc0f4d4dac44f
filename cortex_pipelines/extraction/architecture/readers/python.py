"""Read Python: routes declared by decorators or calls, URL patterns of Django, and models of its mappers."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import METHODS, ColumnDefinition, Fact, mount, route, table_facts
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile, fact_reader
from cortex_pipelines.extraction.architecture.syntax import (
    arguments_of,
    child,
    child_text,
    enclosing,
    first_line,
    first_named_child,
    head_end,
    keyword,
    lines_of,
    name_of,
    named_children,
    positional,
    string_or_name,
    string_value,
    strings_in,
    text,
)

_MAX_DEPTH = 6


@fact_reader(lambda file: file.language == "python" and "urlpatterns" in file.text)
def django_urls(file: SourceFile) -> Iterator[Fact]:
    for patterns in file.nodes("patterns"):
        yield from _url_patterns(patterns.child_by_field_name("right"), "", 0)


def _url_patterns(node: Node | None, prefix: str, depth: int) -> Iterator[Fact]:
    if node is None or depth > _MAX_DEPTH:
        return
    if node.type in ("list", "tuple", "binary_operator", "parenthesized_expression"):
        for part in node.named_children:
            yield from _url_patterns(part, prefix, depth + (node.type != "list"))
    if node.type != "call":
        return
    function, args = child_text(node, "function").rsplit(".", 1)[-1], arguments_of(node)
    if function in ("i18n_patterns", "format_suffix_patterns"):
        for part in args:
            yield from _url_patterns(part, prefix, depth + 1)
    path = string_value(args[0]) if args else None
    if function not in ("path", "re_path", "url") or path is None or len(args) < 2:
        return
    full_path = prefix + (path if function == "path" else path.lstrip("^").rstrip("$"))
    view = args[1]
    if view.type != "call" or not child_text(view, "function").endswith("include"):
        yield route(lines_of(node), "ANY", full_path, _django_view(view), "django", router="urlpatterns")
        return
    target = next(iter(arguments_of(view)), None)
    if target is not None and target.type == "tuple" and target.named_child_count:
        target = first_named_child(target)
    if target is not None and target.type == "list":
        yield from _url_patterns(target, full_path, depth + 1)
    elif target is not None:
        module = string_value(target)
        name = text(target).removesuffix(".urls") if module is None else f"module {module}"
        yield mount(node, "urlpatterns", full_path, name)


def _django_view(node: Node) -> str:
    if node.type != "call":
        return text(node)
    function, inner = child_text(node, "function"), arguments_of(node)
    if function.endswith(".as_view") or not inner:
        return function.removesuffix(".as_view")
    return _django_view(inner[0])


# Constructor to framework and keyword of its prefix.
_ROUTERS = {
    **{"FastAPI": ("fastapi", "root_path"), "APIRouter": ("fastapi", "prefix")},
    **{"Flask": ("flask", "static"), "Blueprint": ("flask", "url_prefix"), "Quart": ("quart", "static")},
    **{"Starlette": ("starlette", ""), "Sanic": ("sanic", ""), "Bottle": ("bottle", ""), "Litestar": ("litestar", "")},
    **{"RouteTableDef": ("aiohttp", ""), "Application": ("aiohttp", "")},
    **dict.fromkeys(("DefaultRouter", "SimpleRouter"), ("django-rest-framework", "")),
    **{"Api": ("flask-restful", "prefix"), "Namespace": ("flask-restx", "path")},
    **dict.fromkeys(("NinjaAPI", "Router"), ("django-ninja", "")),
}
_SUBCLASS = re.compile(r"\w+(APIRouter|FastAPI|Flask|Blueprint)$")  # a class of the project that extends one
_PREFIX_NAME = re.compile(r"\{(\w+)\}")
_DECORATORS = {method.lower() for method in METHODS} | {"route", "api_route", "websocket"}
_ROUTE_CALLS = {"add_url_rule", "add_api_route", "add_resource", "add_route", "add_api_websocket_route"}
_MOUNTS = {"include_router": "prefix", "register_blueprint": "url_prefix", "mount": "path"}
_IMPORTS = (
    *("fastapi", "flask", "quart", "sanic", "starlette", "aiohttp", "bottle", "litestar"),
    *("flask_restful", "flask_restx", "ninja", "falcon"),
)


@fact_reader(lambda file: file.language == "python")
def python_routes(file: SourceFile) -> Iterator[Fact]:
    imports = [text(node).split()[:2] for node in file.nodes("import")]
    modules = {words[-1].split(".")[0].rstrip(",") for words in imports}
    guess = next((name.replace("_", "-") for name in _IMPORTS if name in modules), None)
    frameworks: dict[str, str] = {}
    prefixes: dict[str, tuple[Node, str]] = {}
    for node in file.nodes("assigned"):
        call, name = node.child_by_field_name("right"), child_text(node, "left")
        constructor = _SUBCLASS.sub(r"\1", child_text(call, "function").rsplit(".", 1)[-1])
        router_class = _ROUTERS.get(constructor)
        if router_class is not None:
            frameworks[name] = router_class[0]
            prefixes[name] = (node, _prefix(file, keyword(child(call, "arguments"), router_class[1])))
    for name, (node, prefix) in prefixes.items():
        if prefix:
            yield mount(node, "", prefix, name)
    for node in file.nodes("decorated"):
        yield from _decorated_routes(node, frameworks, guess)
    for call in file.nodes("call"):
        function, args = call.child_by_field_name("function"), arguments_of(call)
        receiver, verb = child_text(function, "object"), child_text(function, "attribute")
        path = string_value(args[0]) if args else None
        if verb in _MOUNTS:
            yield from _mount_facts(file, call, receiver, verb, args)
        elif verb in _ROUTE_CALLS:
            yield from _added_routes(call, receiver, verb, args, frameworks.get(receiver, guess))
        elif path is None or len(args) < 2:
            continue
        elif verb == "register" and frameworks.get(receiver) == "django-rest-framework":
            yield route(lines_of(call), "ANY", path + "/", text(args[1]), "django-rest-framework", router=receiver)
        elif verb.startswith("add_") and receiver.endswith("router") and path.startswith("/"):
            method = verb.removeprefix("add_").upper()
            yield route(lines_of(call), method, path, text(args[1]), guess or "aiohttp", router=receiver)


def _decorated_routes(node: Node, frameworks: dict[str, str], guess: str | None) -> Iterator[Fact]:
    definition = node.child_by_field_name("definition")
    if definition is None:
        return
    outer = enclosing(definition, "class_definition", "function_definition")
    is_method = outer is not None and outer.type == "class_definition"
    handler = f"{name_of(outer)}.{name_of(definition)}" if is_method else name_of(definition)
    for decorator in node.children:
        call = first_named_child(decorator) if decorator.type == "decorator" else None
        function = child(call, "function") if call is not None and call.type == "call" else None
        verb, receiver = child_text(function, "attribute"), child_text(function, "object")
        if verb not in _DECORATORS:
            continue
        arguments = child(call, "arguments")
        path_node = next(iter(positional(arguments)), None) or keyword(arguments, "path", "rule", "uri")
        path = string_value(path_node)
        if receiver not in frameworks:  # a route only if it can be nothing else
            path = path if path is not None and (path.startswith("/") or not path) else None
        elif path is None and path_node is not None:
            path = string_or_name(path_node)
        if path is None:
            continue
        methods = ["WEBSOCKET" if verb == "websocket" else verb.upper()]
        if verb in ("route", "api_route"):
            default = "GET" if definition.type == "function_definition" else "ANY"
            methods = [name.upper() for name in strings_in(keyword(arguments, "methods", "method"))] or [default]
        summary = string_value(keyword(arguments, "summary", "description"))
        for method in methods:
            lines, technology = (first_line(node), head_end(definition)), frameworks.get(receiver, guess)
            yield route(lines, method, path, handler, technology, router=receiver, summary=summary)


def _prefix(file: SourceFile, node: Node | None) -> str:
    """A prefix with the texts of the file's constants that it names."""
    prefix = string_or_name(node)
    if "{" not in prefix:
        return prefix
    constants = {child_text(node, "left"): string_or_name(child(node, "right")) for node in file.nodes("constant")}
    return _PREFIX_NAME.sub(lambda name: constants.get(name[1], name[0]), prefix)


def _mount_facts(file: SourceFile, call: Node, receiver: str, verb: str, args: list[Node]) -> Iterator[Fact]:
    arguments = call.child_by_field_name("arguments")
    target = args[0] if args else keyword(arguments, "router", "blueprint")
    prefix = keyword(arguments, _MOUNTS[verb])
    if verb == "mount":
        prefix, target = target, args[1] if len(args) > 1 else keyword(arguments, "app")
    if target is not None and target.type in ("identifier", "attribute"):
        replaces = verb == "register_blueprint" and prefix is not None
        yield mount(call, receiver, _prefix(file, prefix), text(target), replaces=replaces)


def _added_routes(call: Node, receiver: str, verb: str, args: list[Node], technology: str | None) -> Iterator[Fact]:
    arguments = call.child_by_field_name("arguments")
    paths = [value for node in args if (value := string_value(node)) is not None]
    if verb == "add_url_rule":
        handler = keyword(arguments, "view_func") or (args[2] if len(args) > 2 else None)
    else:
        position = 0 if verb == "add_resource" else 1
        names = ("view_func", "endpoint", "route", "handler", "resource")
        handler = args[position] if len(args) > position else keyword(arguments, *names)
    view = text(handler).split(".as_view(")[0] or "?"
    default = "WEBSOCKET" if "websocket" in verb else "GET" if verb == "add_url_rule" else "ANY"
    methods = [name.upper() for name in strings_in(keyword(arguments, "methods"))] or [default]
    for path in paths if verb == "add_resource" else paths[:1]:
        for method in methods:
            yield route(lines_of(call), method, path, view, technology, router=receiver)


_MAPPERS = (
    *("sqlalchemy", "SQLAlchemy", "sqlmodel", "django", "peewee", "tortoise", "mongoengine"),
    *("models.Model", "db.Model", "__tablename__", "table=True"),
)
_SQLALCHEMY = ("Column", "mapped_column", "relationship")
_LINKS = ("ForeignKey", "ForeignKeyField", "OneToOneField", "ManyToManyField", "ReferenceField", "OneToOneRel")
_FIELD = re.compile(r"(?:\w+\.)*(\w*Field|ForeignKey|ListField|DocumentField)$")
_BASES = ("AbstractUser", "AbstractBaseUser")
_ABSTRACT = re.compile(r"^[ \t]*(abstract|__abstract__)[ \t]*=[ \t]*True", re.MULTILINE)
_META_TABLE = re.compile(r"^[ \t]*(?:db_table|table_name)[ \t]*=[ \t]*['\"]([^'\"\n]+)", re.MULTILINE)
_FOREIGN_KEY = re.compile(r"ForeignKey\(\s*['\"]([^'\"]+)")
_SQLMODEL_KEY = re.compile(r"foreign_key\s*=\s*['\"]([^'\"]+)")


@fact_reader(lambda file: file.language == "python" and any(mark in file.text for mark in _MAPPERS))
def python_models(file: SourceFile) -> Iterator[Fact]:
    """Models of SQLAlchemy, SQLModel, Django, Peewee, Tortoise and MongoEngine."""
    for node in file.nodes("class"):
        statements = _assignments(node)
        technology = _mapper(file, node, statements)
        bases = [text(base) for base in positional(node.child_by_field_name("superclasses"))]
        is_mixin = technology == "sqlalchemy" and bases in ([], ["object"])
        body = child_text(node, "body")
        if technology is None or is_mixin or _ABSTRACT.search(body):
            continue
        parts = _with_bases(file, node) if technology == "sqlmodel" else [node]
        columns = [column for part in parts for s in _assignments(part) if (column := _column(file, s, technology))]
        if columns:
            model, meta = name_of(node), _META_TABLE.search(body)
            names = [string_value(child(s, "right")) for s in statements if child_text(s, "left") == "__tablename__"]
            default = model.lower() if technology == "sqlmodel" else model
            name = next(filter(None, names), None) or (meta[1] if meta else default)
            yield from table_facts(name, "model", technology, lines_of(node), columns, model=model)
    for node in file.nodes("assigned"):  # users = Table("users", metadata, Column("id", Integer), …)
        right = node.child_by_field_name("right")
        args = arguments_of(right)
        table = string_value(args[0]) if args else None
        if table is None or child_text(right, "function").rsplit(".", 1)[-1] != "Table":
            continue
        columns = []
        for call in args[1:]:
            if child_text(call, "function").rsplit(".", 1)[-1] == "Column":
                inner = arguments_of(call)
                name, kind = string_value(inner[0]) or "" if inner else "", text(inner[1]) if len(inner) > 1 else ""
                columns.append(ColumnDefinition(name, kind, lines_of(call), _referred(_FOREIGN_KEY, call)))
        if columns:
            yield from table_facts(table, "model", "sqlalchemy", lines_of(node), columns)


def _mapper(file: SourceFile, node: Node, statements: list[Node]) -> str | None:
    superclasses = node.child_by_field_name("superclasses")
    if text(keyword(superclasses, "table")) == "True":
        return "sqlmodel"
    calls = {_called_function(s) for s in statements}
    if calls.intersection(_SQLALCHEMY) or any(child_text(s, "left") == "__tablename__" for s in statements):
        return "sqlalchemy"
    bases = [text(base) for base in positional(superclasses)]
    has_base = any(base in _BASES or base.endswith(("Model", "Document")) for base in bases)
    if not bases or not any(_FIELD.match(call) for call in calls):
        return None
    for module in ("peewee", "tortoise", "mongoengine", "django"):
        is_django = module == "django" and any("models." in call for call in calls)
        if module in file.text and (has_base or is_django):
            return module
    return None


def _assignments(node: Node) -> list[Node]:
    expressions = (s for s in named_children(child(node, "body")) if s.type == "expression_statement")
    firsts = (first_named_child(expression) for expression in expressions)
    return [first for first in firsts if first is not None and first.type == "assignment"]


def _called_function(assignment: Node) -> str:
    """Name of the function called on the right side; those of SQLAlchemy without their module."""
    right = assignment.child_by_field_name("right")
    called = child_text(right, "function") if right is not None and right.type == "call" else ""
    last = called.rsplit(".", 1)[-1]
    return last if last in _SQLALCHEMY else called


def _column(file: SourceFile, assignment: Node, technology: str) -> ColumnDefinition | None:
    called, name, lines = _called_function(assignment), child_text(assignment, "left"), lines_of(assignment)
    annotation, right = child_text(assignment, "type"), assignment.child_by_field_name("right")
    arguments = right.child_by_field_name("arguments") if right and right.type == "call" else None
    if technology == "sqlmodel":
        is_field = annotation and not text(right).startswith("Relationship(")
        return ColumnDefinition(name, annotation, lines, _referred(_SQLMODEL_KEY, right)) if is_field else None
    if called in ("Column", "mapped_column"):
        column_args = [text(a) for a in positional(arguments) if string_value(a) is None]
        kinds = [value for value in column_args if not value.split("(")[0].endswith("ForeignKey")]
        return ColumnDefinition(name, kinds[0] if kinds else annotation, lines, _referred(_FOREIGN_KEY, arguments))
    if not called and annotation.startswith("Mapped[") and right is None and "sqlalchemy" in file.text:
        return ColumnDefinition(name, annotation, lines)
    if called and _FIELD.match(called):
        kind = called.rsplit(".", 1)[-1]
        target = next(iter(positional(arguments)), None) or keyword(arguments, "to", "model")
        is_link = kind in _LINKS and target is not None
        link = (string_value(target) or text(target)).rsplit(".", 1)[-1] if is_link else ""
        return ColumnDefinition(name, kind, lines, link)
    return None


def _referred(pattern: re.Pattern[str], node: Node | None) -> str:
    match = pattern.search(text(node))
    return match[1].rpartition(".")[0] if match else ""


def _with_bases(file: SourceFile, node: Node, depth: int = 0) -> Iterator[Node]:
    classes = {name_of(other): other for other in file.nodes("class")}
    for base in positional(node.child_by_field_name("superclasses")) if depth < 4 else ():
        if text(base) in classes and classes[text(base)] != node:
            yield from _with_bases(file, classes[text(base)], depth + 1)
    yield node
