"""Design patterns formed by several methods of a class."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import (
    CONSTRUCTORS,
    ClassModel,
    bare,
    child,
    last_statement,
    normalized_text,
    parameters_of,
    statements,
    text,
)
from cortex_pipelines.annotation.complexity.treewalk import NodeVisit
from cortex_pipelines.annotation.detector import Evidence, FileContext, detector, evidence

_MAX_CLASS_BYTES = 200_000
_ROLES = re.compile(
    r"(Repository|Repo|Service|Client|Store|Gateway|Provider|Logger|Handler|Manager|Session"
    r"|Connection|Clock|Cache|Mailer|Sender|Publisher|Notifier|Factory|Strategy|Policy|Bus|Queue"
    r"|Api|Adapter|Validator|Encoder|Formatter|Database)\??$"
)
_SUBSCRIBE = re.compile(
    r"(?i)^(subscribe|attach|register|on|add_?(\w*_?)?(listener|observer|subscriber|handler|callback))$"
)
_NOTIFY = re.compile(r"(?i)^(notify|emit|publish|fire|dispatch|trigger|broadcast)(_?\w*)$")
_STORE = re.compile(r"(?i)^(get|find|save|add|delete|remove|update|list|load|fetch|insert|all)(_|[A-Z]|$)")
_VISIT = re.compile(r"^visit_?[A-Za-z]\w*$")
_IS_NEXT = re.compile(r"_*(next|successor|next_handler|nextHandler)")
_NOT_IMPLEMENTED = re.compile(r"raise NotImplementedError|throw new \w*(Error|Exception)\(.*(mplement|bstract)")
_ON_NEXT = re.compile(r"\b(?:self|this)\._*(next|successor|next_handler|nextHandler)\??\.(\w+)\(")
_ON_FIELD = re.compile(r"(?<![\w.])(?:(?:self|this)\.)?(\w+)\.(\w+)\(")
_KEPT = re.compile(r"\b(?:self|this)\.\w+ = (\w+)\b")
_THROUGH_PARTS = re.compile(r"(?:self|this)\.\w*(?:children|parts|components|items)\w*\.(?:forEach|map|reduce)\(")
_WORDS = re.compile(r"\w+")


@detector(
    "builder",
    "observer",
    "visitor",
    "repository",
    "dependency-injection",
    "singleton",
    "command",
    "iterator",
    "template-method",
    "composite",
    "chain-of-responsibility",
    "decorator",
    python="class_definition",
    javascript="class class_declaration",
    typescript="abstract_class_declaration class class_declaration",
    java="class_declaration interface_declaration",
    rust="impl_item trait_item",
)
def class_patterns(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    if visit.node.end_byte - visit.node.start_byte > _MAX_CLASS_BYTES:
        return
    model = ClassModel(visit.node, context.language)
    names = list(model.methods)
    fluent = [method for name, method in model.methods.items() if _returns_itself(method, model)]
    finish = next((method for name, method in model.methods.items() if name.startswith("build")), None)
    if len(fluent) >= 2 and (finish is not None or model.name.endswith("Builder")):
        yield evidence("builder", finish or fluent[-1])
    notifying = [name for name in names if _NOTIFY.match(name)]
    subscribing = [name for name in names if _SUBSCRIBE.match(name)]
    if notifying and subscribing:
        yield evidence("observer", model.methods[notifying[0]])
    visits = [name for name in names if _VISIT.match(name)]
    if len(visits) >= 2:
        yield evidence("visitor", model.methods[visits[0]])
    stored = [name for name in names if _STORE.match(name)]
    if len(stored) >= 2 and re.search(r"(Repository|Repo|Dao|DAO|Store|Storage)$", model.name):
        yield evidence("repository", model.methods[stored[0]])
    if "execute" in names and re.search(r"(Command|Action|Task|Operation)$", model.name):
        yield evidence("command", model.methods["execute"])
    if {"next", "hasNext"} <= set(names) or {"__next__", "__iter__"} <= set(names):
        yield evidence("iterator", model.methods["next" if "next" in names else "__next__"])
    for label, pattern_node in (
        ("dependency-injection", _injected(model)),
        ("singleton", _single(model)),
        ("template-method", _template(model)),
        ("composite", _composite(model)),
        ("chain-of-responsibility", _chained(model)),
        ("decorator", _wrapping(model)),
    ):
        if pattern_node is not None:
            yield evidence(label, pattern_node)


def _returns_itself(method: Node, model: ClassModel) -> bool:
    last = last_statement(method)
    if last is None:
        return False
    if model.language == "rust":
        kind = normalized_text(child(method, "return_type"))
        return kind in ("Self", "&mut Self") and text(last) == "self"
    return normalized_text(last).rstrip(";") in ("return self", "return this")


def _injected(model: ClassModel) -> Node | None:
    """A constructor parameter of a service type that the object stores."""
    maker = model.constructor
    if maker is None or model.language == "rust":
        return None
    body = normalized_text(child(maker, "body"))
    for parameter in parameters_of(maker):
        kind = normalized_text(child(parameter, "type")).strip(": \"'")
        name = text(child(parameter, "name", "pattern")) or next(
            (text(part) for part in parameter.named_children if part.type == "identifier"), ""
        )
        declared = any(part.type == "accessibility_modifier" for part in parameter.named_children)
        is_stored = name and name in _KEPT.findall(body)
        plain = kind.split("[")[0].split("|")[0].strip(" ?")
        # of its own interface: it wraps one, or hands on to the next
        is_own_interface = plain == model.name or plain in _WORDS.findall(model.ancestors)
        if (declared or is_stored) and _ROLES.search(plain) and not is_own_interface:
            return parameter
    return None


def _single(model: ClassModel) -> Node | None:
    if model.language == "python":
        new_method = model.methods.get("__new__")
        return new_method if re.search(r"_instances?\b", normalized_text(new_method)) else None
    for name in ("getInstance", "get_instance", "instance", "shared"):
        method = model.methods.get(name)
        if method is not None and "static" in normalized_text(method).split("(")[0].split():
            return method
    return None


def _template(model: ClassModel) -> Node | None:
    step_names = set()
    for name, method in model.methods.items():
        is_declared = child(method, "body") is None and "abstract" in normalized_text(method).split()
        if is_declared or _NOT_IMPLEMENTED.match(normalized_text(last_statement(method))):
            step_names.add(name)
    body_of_class = child(model.node, "body")
    for member in body_of_class.named_children if body_of_class is not None else []:
        if member.type == "decorated_definition" and "abstractmethod" in normalized_text(member)[:80]:
            step_names.add(text(child(child(member, "definition") or member, "name")))
        if member.type == "abstract_method_signature":
            step_names.add(text(child(member, "name")))
    for name, method in model.methods.items():
        code = f" {normalized_text(child(method, 'body'))}"
        # a call of its own object is bare in Java, else through `self`
        calls = (f"{before}{step}(" for step in step_names for before in ("self.", "this.", " ", "(", "!", "{"))
        if name not in step_names and any(call in code for call in calls):
            return method
    return None


def _composite(model: ClassModel) -> Node | None:
    for name, method in model.methods.items():
        body = normalized_text(child(method, "body"))
        over = re.search(
            r"for[ (]+(?:const |let |var |\w+ )?(\w+) (?:in|of|:) \(?(?:self|this)\.\w*"
            r"(children|parts|components|items|nodes|elements|members)",
            body,
        )
        if over and f"{over[1]}.{name}(" in body:
            return method
        through = _THROUGH_PARTS.search(body)
        if through and f".{name}(" in body[through.end() :]:
            return method
    return None


def _chained(model: ClassModel) -> Node | None:
    """Chain of responsibility: a method that delegates to the next handler's same method."""
    for name, method in model.methods.items():
        body = normalized_text(child(method, "body"))
        if any(match[2] == name for match in _ON_NEXT.finditer(body)):
            return method
    return None


def _wrapping(model: ClassModel) -> Node | None:
    through: dict[str, list[Node]] = {}
    for name, method in model.methods.items():
        if name in CONSTRUCTORS:
            continue
        body = normalized_text(child(method, "body"))
        owner = next((assignment[1] for assignment in _ON_FIELD.finditer(body) if assignment[2] == name), None)
        if owner and owner not in ("self", "this", "super") and not _IS_NEXT.fullmatch(owner):
            through.setdefault(owner, []).append(method)
    maker = normalized_text(model.constructor)
    has_suffix = model.name.endswith(("Decorator", "Wrapper"))
    for field, methods in through.items():
        is_stored = f"self.{field} = " in maker or f"this.{field} = " in maker
        declared = f"private {field}" in maker or f"readonly {field}" in maker
        if (is_stored or declared) and (len(methods) >= 2 or has_suffix):
            return methods[0]
    return None


_ACCESS = re.compile(r"^(get|set|is|has)[A-Z_]")


@detector("data-class", python="class_definition", script="class_declaration", java="class_declaration")
def data_class(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    decorated = visit.parent is not None and visit.parent.type == "decorated_definition"
    if decorated or visit.node.end_byte - visit.node.start_byte > _MAX_CLASS_BYTES:
        return
    name_node, model = child(visit.node, "name"), ClassModel(visit.node, context.language)
    if name_node is None or model.ancestors:
        return
    if not all(name in CONSTRUCTORS or _is_access(method, name) for name, method in model.methods.items()):
        return
    values = sum("field" in member.type for member in model.members)
    if model.constructor is not None and model.language != "java":
        inside = statements(child(model.constructor, "body"))
        assigning = re.compile(r"(self|this)\.\w+(: [^=]+)? = [\w.\[\]{}\"']*;?")
        plain = sum(assigning.fullmatch(normalized_text(bare(statement))) is not None for statement in inside)
        relevant = sum(not normalized_text(statement).startswith(('"', "super")) for statement in inside)
        values = 0 if plain < relevant else plain + values
    if values >= 2:
        yield evidence("data-class", name_node)


def _is_access(method: Node, name: str) -> bool:
    if name in ("__repr__", "__eq__", "__str__", "toString", "equals", "hashCode", "__hash__"):
        return True
    inside = statements(child(method, "body"))
    plain = len(inside) == 1 and re.fullmatch(
        r"return ((self|this)\.)?\w+;?|((self|this)\.)?\w+ = \w+;?", normalized_text(bare(inside[0]))
    )
    return bool(plain and (_ACCESS.match(name) or normalized_text(method)[:3] in ("get", "set")))
