"""Node types of all grammars that refactoring detection uses."""


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


BLOCKS = _set(
    "module program source_file block statement_block statement_list class_body switch_body "
    "switch_block constructor_body declaration_list match_block field_declaration_list "
    "interface_body enum_body enum_body_declarations annotation_type_body enum_variant_list "
    "object_type enum_variant_list interface_type struct_type"
)
"""Nodes whose named children are statements."""

CLAUSES = _set(
    "elif_clause else_clause except_clause except_group_clause finally_clause case_clause "
    "catch_clause switch_case switch_default switch_block_statement_group switch_rule "
    "expression_case default_case type_case communication_case match_arm"
)
"""Statements inside another statement but not inside a block."""

DECLARATIONS = frozenset({"lexical_declaration", "variable_declaration", "local_variable_declaration"})
"""Declarations that are statements where a clause has no block of its own."""

LISTS = dict.fromkeys(("lexical_declaration", "variable_declaration"), "variable_declarator")
"""Declarations of several variables, and the nodes that declare one each."""

ASSIGNMENTS = DECLARATIONS | _set(
    "variable_declarator expression_statement short_var_declaration var_declaration let_declaration"
)

LITERALS = _set(
    "string string_literal raw_string_literal interpreted_string_literal char_literal "
    "character_literal rune_literal template_string regex text_block integer float number true "
    "false none null null_literal nil int_literal float_literal imaginary_literal "
    "integer_literal boolean_literal decimal_integer_literal hex_integer_literal "
    "octal_integer_literal binary_integer_literal decimal_floating_point_literal"
)
"""Literals taken as one token, unless code is interpolated."""

INTERPOLATIONS = frozenset({"interpolation", "template_substitution", "string_interpolation"})

IDENTIFIERS = _set(
    "identifier type_identifier shorthand_property_identifier "
    "shorthand_property_identifier_pattern shorthand_field_identifier package_identifier"
)
PROPERTIES = _set("property_identifier field_identifier private_property_identifier")
DOTS = frozenset({".", "?.", "::"})

_VARIABLES = {
    "left": "assignment for_statement for_in_clause for_in_statement short_var_declaration range_clause"
    " receive_statement",
    "name": "named_expression variable_declarator enhanced_for_statement catch_formal_parameter resource"
    " instanceof_expression var_spec const_spec",
    "alias": "as_pattern type_switch_statement",
    "parameter": "catch_clause",
    "pattern": "let_declaration for_expression let_condition match_arm",
}
_FUNCTIONS = "lambda arrow_function function_expression lambda_expression func_literal closure_expression"
DECLARING: dict[str, tuple[tuple[str, ...], str]] = {
    node: ((field,), "variable") for field, nodes in _VARIABLES.items() for node in nodes.split()
} | dict.fromkeys(_FUNCTIONS.split(), (("parameters", "parameter"), "parameter"))
"""Fields of a node that bind names, and as which kind."""

PATTERNS = _set(
    "pattern_list tuple_pattern list_pattern list_splat_pattern dictionary_splat_pattern "
    "as_pattern_target object_pattern array_pattern rest_pattern expression_list mut_pattern "
    "reference_pattern ref_pattern slice_pattern tuple_struct_pattern struct_pattern "
    "captured_pattern match_pattern or_pattern remaining_field_pattern formal_parameters "
    "lambda_parameters parameter_list parameters closure_parameters inferred_parameters "
    "typed_parameter"
)
"""Patterns that bind all that their children bind."""

NAMED_PATTERNS = {
    **dict.fromkeys(("assignment_pattern", "object_assignment_pattern"), "left"),
    **dict.fromkeys(("required_parameter", "optional_parameter", "parameter", "field_pattern"), "pattern"),
    **dict.fromkeys(("default_parameter", "typed_default_parameter", "formal_parameter"), "name"),
    **dict.fromkeys(("variable_declarator", "parameter_declaration", "variadic_parameter_declaration"), "name"),
    "pair_pattern": "value",
}
"""Patterns that bind what one of their fields binds."""

RECEIVERS = frozenset({"self", "cls", "this"})
DROPPED = frozenset({";", "{", "}"})
"""Tokens that only group."""

FUNCTION_MARKS = frozenset({"function", "=>", "->", "func"})
"""Tokens of a function without a name that holds statements."""

TYPES = frozenset({"class", "struct", "trait", "interface", "enum", "type"})
FUNCTIONS = frozenset({"function", "method"})
