"""Local variables of functions in block-scoped languages, conservatively.

A name is renamed everywhere in a unit or not at all. It may be renamed when every identifier of
that name in the unit lies in the scope of a local declaration: then none refers to anything outside
the unit, and a consistent renaming has no effect. In all uncertain cases the name is kept.
"""

import re
from dataclasses import dataclass

from tree_sitter import Node

from cortex_pipelines.augmentation.node_table import split_words
from cortex_pipelines.augmentation.renaming.python_scopes import LocalVariable
from cortex_pipelines.augmentation.snippets import Snippet, text_of


@dataclass(frozen=True)
class Declaration:
    """A syntactic form that declares a local variable.

    ``within``: a field of a Java class and a local variable are both a ``variable_declarator``. ``in_body``: the
    default of a parameter does not see a ``var`` of the function.
    """

    parent: str  # node type of the form
    name: str  # field of the form that holds the name or a pattern of names
    scope: frozenset[str] = frozenset()  # node types that end the variable's scope; empty for the language's blocks
    within: frozenset[str] = frozenset()  # node types that may hold the form; empty for any
    token: frozenset[str] = frozenset()  # one of these makes it a declaration (``:=`` of Go, ``const`` of ``for``)
    visible_after: str = ""  # field after which the name can be seen; empty for the form's end
    in_body: bool = False  # the scope is only the ``body`` of its node


@dataclass(frozen=True)
class BlockLanguage:
    """Scoping rules of a language with block scopes.

    ``fixed``: where a name that stands in them is not a plain use of a variable, or is declared in a way that is not
    covered, and stays. ``type.field`` narrows one to a field, ``type.field>type`` to a node type in that field.
    """

    declarations: tuple[Declaration, ...]  # forms of local variables that may be renamed
    blocks: frozenset[str]  # node types that end the scope of a name
    patterns: frozenset[str]  # node types between a declaration and a name inside it
    hoisted: bool  # whether a name can be seen in all of its block, before its declaration too
    other_names: frozenset[str]  # node types of names that live in a namespace of their own
    fixed: frozenset[str]  # node types around identifiers
    ignored: frozenset[str] = frozenset()  # ``type.field`` whose identifier is in a namespace of its own
    opaque: frozenset[str] = frozenset()  # node types that use names as the grammar does not show: a word in them stays
    barriers: frozenset[str] = frozenset()  # node types inside which a local name from outside may mean something else
    forbidden: frozenset[str] = frozenset()  # words and node types that make renaming unsafe altogether


_JS_FUNCTIONS = split_words(
    "function_declaration function_expression arrow_function method_definition "
    "generator_function generator_function_declaration class_static_block"
)
_JS_DECLARATOR = ("variable_declarator", "name")
_JS_LOOP = ("for_in_statement", "left")

_JAVASCRIPT = BlockLanguage(
    declarations=(
        Declaration(*_JS_DECLARATOR, within=split_words("lexical_declaration")),
        Declaration(*_JS_DECLARATOR, within=split_words("variable_declaration"), scope=_JS_FUNCTIONS, in_body=True),
        Declaration(*_JS_LOOP, token=split_words("const let"), scope=split_words("for_in_statement")),
        Declaration(*_JS_LOOP, token=split_words("var"), scope=_JS_FUNCTIONS, in_body=True),
    ),
    blocks=split_words("statement_block for_statement for_in_statement switch_body") | _JS_FUNCTIONS,
    patterns=split_words("array_pattern"),
    hoisted=True,
    other_names=split_words("property_identifier private_property_identifier statement_identifier"),
    fixed=split_words(
        "formal_parameters required_parameter.pattern optional_parameter.pattern rest_pattern arrow_function.parameter "
        "catch_clause.parameter assignment_pattern.left object_pattern pair_pattern.value function_declaration.name "
        "function_expression.name generator_function.name generator_function_declaration.name class_declaration.name "
        "class.name import_specifier import_clause namespace_import export_specifier jsx_opening_element.name "
        "jsx_closing_element.name jsx_self_closing_element.name type_predicate enum_declaration internal_module "
        "nested_identifier"
    ),
    forbidden=split_words("eval with_statement"),
)

_JAVA_PATTERNS = "type_pattern record_pattern record_pattern_component"

_JAVA = BlockLanguage(
    declarations=(
        Declaration("variable_declarator", "name", within=split_words("local_variable_declaration")),
        Declaration(
            "enhanced_for_statement", "name", scope=split_words("enhanced_for_statement"), visible_after="value"
        ),
        Declaration("resource", "name", scope=split_words("try_with_resources_statement")),
    ),
    blocks=split_words("block constructor_body for_statement enhanced_for_statement switch_block"),
    patterns=frozenset(),
    hoisted=False,
    other_names=frozenset(),
    fixed=split_words(
        "formal_parameter spread_parameter catch_formal_parameter lambda_expression.parameters "
        "inferred_parameters instanceof_expression.name switch_label labeled_statement "
        "break_statement continue_statement method_reference element_value_pair.key annotation "
        "marker_annotation method_declaration.name class_declaration.name scoped_identifier " + _JAVA_PATTERNS
    ),
    ignored=split_words("method_invocation.name field_access.field"),
    barriers=split_words("class_body enum_body interface_body"),
)

_GO = BlockLanguage(
    declarations=(
        Declaration("short_var_declaration", "left"),
        Declaration("var_spec", "name"),
        Declaration("range_clause", "left", token=split_words(":=")),
        Declaration("receive_statement", "left", token=split_words(":=")),
        Declaration(
            "type_switch_statement", "alias", scope=split_words("type_switch_statement"), visible_after="value"
        ),
    ),
    blocks=split_words(
        "block if_statement for_statement expression_switch_statement type_switch_statement "
        "expression_case type_case default_case communication_case"
    ),
    patterns=split_words("expression_list"),
    hoisted=False,
    other_names=split_words("field_identifier label_name"),
    fixed=split_words(
        "parameter_declaration variadic_parameter_declaration const_spec.name "
        "function_declaration.name type_parameter_declaration "
        # the key of a composite literal is a field or a variable, by the type's declaration
        "keyed_element.key>literal_element"
    ),
)

_RUST = BlockLanguage(
    declarations=(
        Declaration("let_declaration", "pattern"),
        Declaration("for_expression", "pattern", scope=split_words("for_expression"), visible_after="value"),
    ),
    blocks=split_words("block for_expression match_arm"),
    patterns=split_words("tuple_pattern mut_pattern"),
    hoisted=False,
    other_names=split_words("field_identifier"),
    fixed=split_words(
        "parameter closure_parameters match_pattern tuple_struct_pattern captured_pattern or_pattern slice_pattern "
        "ref_pattern reference_pattern range_pattern struct_pattern field_pattern let_condition.pattern "
        "shorthand_field_initializer scoped_identifier scoped_use_list use_list use_declaration use_as_clause "
        "function_item const_item.name static_item.name macro_invocation.macro token_tree label lifetime "
        "const_parameter generic_pattern remaining_field_pattern extern_crate_declaration mod_item"
    ),
    # A macro may take a name apart, build one, or find it in a format string: `{name}`.
    opaque=split_words("macro_invocation attribute_item inner_attribute_item macro_definition"),
    barriers=split_words("function_item impl_item mod_item const_item static_item"),
)

BLOCK_LANGUAGES = {"javascript": _JAVASCRIPT, "typescript": _JAVASCRIPT, "java": _JAVA, "go": _GO, "rust": _RUST}


_WORD = re.compile(r"\w+")
_NAME_TYPES = ("identifier", "identifier_pattern", "label_name")


@dataclass(frozen=True)
class _Scope:
    declared_at: int
    start: int
    end: int
    barrier: int | None


def block_locals(snippet: Snippet) -> list[LocalVariable]:
    language = BLOCK_LANGUAGES[snippet.language]
    nodes = list(snippet.nodes())
    identifiers = [node for node in nodes if node.child_count == 0 and node.type.endswith(_NAME_TYPES)]
    present = {text_of(node) for node in identifiers} | {node.type for node in nodes}
    if present & language.forbidden:
        return []
    fixed = {word for node in nodes if node.type in language.opaque for word in _WORD.findall(text_of(node))}
    roles = _roles(snippet.tree.root_node)
    occurrences: dict[str, list[Node]] = {}
    scopes: dict[str, list[_Scope]] = {}
    for node in identifiers:
        name = text_of(node)
        if node.type in language.other_names or roles[node.id] in language.ignored:
            continue
        parent = node.parent
        if node.type != "identifier" or parent is None:
            fixed.add(name)
            continue
        if {parent.type, roles[node.id], f"{roles[parent.id]}>{parent.type}"} & language.fixed:
            fixed.add(name)
            continue
        occurrences.setdefault(name, []).append(node)
        scope = _declared_scope(node, language, roles)
        if scope is not None:
            scopes.setdefault(name, []).append(scope)
    return [
        LocalVariable(name, tuple(snippet.span(node) for node in uses))
        for name, uses in occurrences.items()
        # in Rust a pattern that begins with a capital names a constant or a variant, not a variable
        if name.strip("_$") != ""
        and not (snippet.language == "rust" and name[0].isupper())
        and name not in fixed
        and all(_covered(use, scopes.get(name, []), language) for use in uses)
    ]


def _roles(root: Node) -> dict[int, str]:
    """``type.field`` of each node. One walk: looking for each node among its siblings would take quadratic time."""
    cursor, parents, roles = root.walk(), [""], {}
    while True:
        node = cursor.node
        if node is not None:
            field = cursor.field_name
            roles[node.id] = f"{parents[-1]}.{field}" if field else parents[-1]
            if cursor.goto_first_child():
                parents.append(node.type)
                continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return roles
            parents.pop()


def _declared_scope(node: Node, language: BlockLanguage, roles: dict[int, str]) -> _Scope | None:
    top = node
    while top.parent is not None and top.parent.type in language.patterns:
        top = top.parent
    form = top.parent
    if form is None:
        return None
    holder = form.parent.type if form.parent is not None else ""
    for declaration in language.declarations:
        has_token = not declaration.token or any(part.type in declaration.token for part in form.children)
        is_inside = not declaration.within or holder in declaration.within
        if roles[top.id] == f"{declaration.parent}.{declaration.name}" and has_token and is_inside:
            return _scope_of(node, form, declaration, language)
    return None


def _scope_of(name: Node, form: Node, declaration: Declaration, language: BlockLanguage) -> _Scope | None:
    ends = declaration.scope or language.blocks
    block: Node | None = form
    while block is not None and block.type not in ends:
        block = block.parent
    if block is None:
        return None
    if declaration.in_body:
        block = block.child_by_field_name("body") or block
    start = block.start_byte if language.hoisted else form.end_byte
    if declaration.visible_after and not language.hoisted:
        parts = form.children_by_field_name(declaration.visible_after)
        start = max((part.end_byte for part in parts), default=form.end_byte)
    return _Scope(name.start_byte, start, block.end_byte, _barrier(form, language))


def _barrier(node: Node, language: BlockLanguage) -> int | None:
    above: Node | None = node
    while above is not None:
        if above.type in language.barriers:
            return above.id
        above = above.parent
    return None


def _covered(use: Node, scopes: list[_Scope], language: BlockLanguage) -> bool:
    barrier = _barrier(use, language)
    return any(
        scope.declared_at == use.start_byte or (scope.barrier == barrier and scope.start <= use.start_byte < scope.end)
        for scope in scopes
    )
