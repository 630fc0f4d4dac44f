"""Declarations of local variables in JavaScript, TypeScript, Java, Go and Rust."""

from dataclasses import dataclass

from cortex_pipelines.augmentation.identifier_words import split_words


@dataclass(frozen=True)
class Declaration:
    """A syntactic form that declares a local variable.

    Args:
        parent: Node type of the form.
        name: Field of the form that holds the name or a pattern of names.
        scope: Node types that end the variable's scope; empty for the language's blocks.
        within: Node types that may hold the form; empty for any. (A field of a Java class and a
            local variable are both a ``variable_declarator``.)
        token: A token that the form needs to be a declaration (``:=`` of Go, ``const`` of ``for``).
        visible_after: Field after which the name can be seen; empty for the form's end.
        in_body: The scope is only the ``body`` of its node. (The default of a parameter does not
            see a ``var`` of the function.)
    """

    parent: str
    name: str
    scope: frozenset[str] = frozenset()
    within: frozenset[str] = frozenset()
    token: frozenset[str] = frozenset()
    visible_after: str = ""
    in_body: bool = False


@dataclass(frozen=True)
class BlockLanguage:
    """Scoping rules of a language with block scopes.

    Args:
        declarations: Forms that declare a local variable that may be renamed.
        blocks: Node types that end the scope of a name.
        patterns: Node types between a declaration and a name inside it.
        hoisted: Whether a name can be seen in all of its block, before its declaration too.
        other_names: Node types of names that live in a namespace of their own.
        fixed: Node types whose direct identifiers are not a plain use of a variable, or declare it
            in a way that is not covered; a name that stands there stays. ``type.field`` narrows
            it to one field, ``type.field>type`` to a node type in that field.
        ignored: ``type.field`` whose identifier is in a namespace of its own.
        opaque: Node types whose text may use names in ways the grammar does not show; a word
            in it stays.
        barriers: Node types inside which a local name from outside may mean something else.
        forbidden: Words and node types that make renaming unsafe altogether.
    """

    declarations: tuple[Declaration, ...]
    blocks: frozenset[str]
    patterns: frozenset[str]
    hoisted: bool
    other_names: frozenset[str]
    fixed: frozenset[str]
    ignored: frozenset[str] = frozenset()
    opaque: frozenset[str] = frozenset()
    barriers: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()


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
        "formal_parameters required_parameter.pattern optional_parameter.pattern rest_pattern "
        "arrow_function.parameter catch_clause.parameter assignment_pattern.left object_pattern "
        "pair_pattern.value function_declaration.name function_expression.name "
        "generator_function.name generator_function_declaration.name class_declaration.name "
        "class.name import_specifier import_clause namespace_import export_specifier "
        "jsx_opening_element.name jsx_closing_element.name jsx_self_closing_element.name "
        "type_predicate enum_declaration internal_module nested_identifier"
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
        "parameter closure_parameters match_pattern tuple_struct_pattern captured_pattern "
        "or_pattern slice_pattern ref_pattern reference_pattern range_pattern struct_pattern "
        "field_pattern let_condition.pattern shorthand_field_initializer scoped_identifier "
        "scoped_use_list use_list use_declaration use_as_clause function_item const_item.name "
        "static_item.name macro_invocation.macro token_tree label lifetime const_parameter "
        "generic_pattern remaining_field_pattern extern_crate_declaration mod_item"
    ),
    # A macro may take a name apart, build one, or find it in a format string: `{name}`.
    opaque=split_words("macro_invocation attribute_item inner_attribute_item macro_definition"),
    barriers=split_words("function_item impl_item mod_item const_item static_item"),
)

BLOCK_LANGUAGES = {"javascript": _JAVASCRIPT, "typescript": _JAVASCRIPT, "java": _JAVA, "go": _GO, "rust": _RUST}
