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

ASSIGNMENTS = DECLARATIONS | {
    "variable_declarator",
    "expression_statement",
    "short_var_declaration",
    "var_declaration",
    "let_declaration",
}

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

DECLARING: dict[str, tuple[tuple[str, ...], str]] = {
    node: (tuple(fields.split()), kind)
    for kind, nodes in {
        "variable": {
            "assignment": "left",
            "named_expression": "name",
            "for_statement": "left",
            "for_in_clause": "left",
            "as_pattern": "alias",
            "variable_declarator": "name",
            "for_in_statement": "left",
            "catch_clause": "parameter",
            "enhanced_for_statement": "name",
            "catch_formal_parameter": "name",
            "resource": "name",
            "instanceof_expression": "name",
            "short_var_declaration": "left",
            "range_clause": "left",
            "var_spec": "name",
            "const_spec": "name",
            "receive_statement": "left",
            "type_switch_statement": "alias",
            "let_declaration": "pattern",
            "for_expression": "pattern",
            "let_condition": "pattern",
            "match_arm": "pattern",
        },
        "parameter": {
            "lambda": "parameters",
            "arrow_function": "parameters parameter",
            "function_expression": "parameters",
            "lambda_expression": "parameters",
            "func_literal": "parameters",
            "closure_expression": "parameters",
        },
    }.items()
    for node, fields in nodes.items()
}
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

NAMED_PATTERNS: dict[str, str] = {
    "default_parameter": "name",
    "typed_default_parameter": "name",
    "assignment_pattern": "left",
    "object_assignment_pattern": "left",
    "pair_pattern": "value",
    "required_parameter": "pattern",
    "optional_parameter": "pattern",
    "formal_parameter": "name",
    "variable_declarator": "name",
    "parameter": "pattern",
    "parameter_declaration": "name",
    "variadic_parameter_declaration": "name",
    "field_pattern": "pattern",
}
"""Patterns that bind what one of their fields binds."""

RECEIVERS = frozenset({"self", "cls", "this"})
DROPPED = frozenset({";", "{", "}"})
"""Tokens that only group."""

FUNCTION_MARKS = frozenset({"function", "=>", "->", "func"})
"""Tokens of a function without a name that holds statements."""

TYPES = frozenset({"class", "struct", "trait", "interface", "enum", "type"})
FUNCTIONS = frozenset({"function", "method"})
