"""Roles of each grammar's node types: the table behind all complexity measures.

Roles of control flow:

* ``if``, ``loop``, ``catch``, ``ternary``: a decision, and what it holds is a level deeper;
* ``elif``: a decision on the level of the ``if`` it continues;
* ``switch``: a level deeper; its cases are the decisions;
* ``case``: a decision, unless it is the default; ``else``: costs one to read, not a decision;
* ``decision``: counted as the language's own tools do (``assert``, a comprehension's ``for``);
* ``default``: a decision if it has a value to fall back on;
* ``boolean``: a chain of ``and`` and ``or``; ``logical``: its operators; ``guard``: ``let … else``;
* ``jump``: to a label; ``function``: restarts at zero, one level deeper inside of another;
* ``alternative``: what holds an ``else``; ``type``: what has methods; ``call``: of a function.

Roles of tokens: ``skip`` (comments: not code), ``literal`` (one operand, whatever is inside), ``delimiter`` (quotes),
``keyword`` (a named node that is an operator). All other leaves are operands if they have a name.
"""

from dataclasses import dataclass
from functools import cache

from tree_sitter import Language

_SCRIPT = {
    "if": "if_statement",
    "loop": "for_statement for_in_statement while_statement do_statement",
    "catch": "catch_clause",
    "ternary": "ternary_expression",
    "switch": "switch_statement",
    "case": "switch_case",
    "boolean": "binary_expression",
    "parentheses": "parenthesized_expression",
    "decision": "optional_chain",
    "default": "assignment_pattern object_assignment_pattern required_parameter",
    "jump": "break_statement continue_statement",
    "alternative": "else_clause",
    "type": "class_declaration class abstract_class_declaration",
    "call": "call_expression",
    "function": "function_declaration generator_function_declaration function_expression "
    "generator_function arrow_function method_definition",
    "skip": "comment html_comment hash_bang_line",
    "literal": "string template_string regex",
    "keyword": "optional_chain",
}
_ROLES: dict[str, dict[str, str]] = {
    "python": {
        "if": "if_statement",
        "elif": "elif_clause",
        "loop": "for_statement while_statement",
        "catch": "except_clause except_group_clause",
        "ternary": "conditional_expression",
        "switch": "match_statement",
        "case": "case_clause",
        "boolean": "boolean_operator",
        "parentheses": "parenthesized_expression",
        "decision": "assert_statement for_in_clause if_clause",
        "alternative": "else_clause",
        "type": "class_definition",
        "call": "call",
        "function": "function_definition lambda",
        "skip": "comment line_continuation",
        "literal": "string",
        "delimiter": "string_start string_end",
        "keyword": "keyword_separator positional_separator",
    },
    "javascript": _SCRIPT,
    # there the token is inside of the `optional_chain`
    "typescript": {**_SCRIPT, "decision": ""},
    "java": {
        "if": "if_statement",
        "loop": "for_statement enhanced_for_statement while_statement do_statement",
        "catch": "catch_clause",
        "ternary": "ternary_expression",
        "switch": "switch_expression",
        "case": "switch_label",
        "boolean": "binary_expression",
        "parentheses": "parenthesized_expression",
        "jump": "break_statement continue_statement",
        "type": "class_declaration enum_declaration record_declaration interface_declaration",
        "call": "method_invocation",
        "function": "method_declaration constructor_declaration compact_constructor_declaration lambda_expression",
        "skip": "line_comment block_comment",
        "literal": "string_literal character_literal",
        "keyword": "void_type boolean_type",
    },
    "go": {
        "if": "if_statement",
        "loop": "for_statement",
        "switch": "expression_switch_statement type_switch_statement select_statement",
        "case": "expression_case type_case communication_case",
        "boolean": "binary_expression",
        "parentheses": "parenthesized_expression",
        "jump": "goto_statement break_statement continue_statement",
        "call": "call_expression",
        "function": "function_declaration method_declaration func_literal",
        "skip": "comment",
        "literal": "interpreted_string_literal raw_string_literal rune_literal",
    },
    "rust": {
        "if": "if_expression",
        "loop": "for_expression while_expression loop_expression",
        "switch": "match_expression",
        "case": "match_arm",
        "boolean": "binary_expression let_chain",
        "parentheses": "parenthesized_expression",
        "guard": "let_declaration",
        "decision": "try_expression",
        "jump": "break_expression continue_expression",
        "alternative": "else_clause",
        "type": "impl_item trait_item",
        "call": "call_expression",
        "function": "function_item closure_expression",
        "skip": "line_comment block_comment",
        "literal": "string_literal raw_string_literal char_literal",
        "keyword": "primitive_type mutable_specifier",
    },
}
_TOKENS = frozenset({"skip", "literal", "keyword", "delimiter"})
# Operator to whether a run of it counts as one thing to understand: `??` reads as a shorthand.
_LOGICAL = {"&&": True, "||": True, "and": True, "or": True, "??": False}
_SHORTHANDS = frozenset({"&&=", "||=", "??=", "?."})
# What a function may hold and still be a mere frame for the functions in it (decorators).
FRAMES = {"python": frozenset({"function_definition", "decorated_definition", "return_statement"})}
LABELS = {
    "java": "identifier",
    "go": "label_name",
    "rust": "label",
    "javascript": "statement_identifier",
    "typescript": "statement_identifier",
}
BODY_FIELDS = frozenset({"body", "consequence", "alternative", "handler"})
BODIES = frozenset({"block", "expression_case", "type_case", "communication_case", "default_case"})
INTERPOLATIONS = frozenset({"interpolation", "template_substitution"})


@dataclass(frozen=True)
class Syntax:
    """Node kinds of a grammar, by number."""

    flow: dict[int, str]  # kind to its role in control flow
    token: dict[int, str]  # kind to its role as a token
    names: dict[int, str]  # kind to its name, of those that have one (else they are punctuation or keywords)
    logical: dict[int, bool]  # logical operator to whether a run of it is understood as one


def types_of(role: str, language: str) -> frozenset[str]:
    return node_types(_ROLES[language].get(role, ""))


def node_types(names: str) -> frozenset[str]:
    return frozenset(names.split())


@cache
def syntax_of(name: str, language: Language) -> Syntax:
    roles: dict[str, list[str]] = {}
    for role, names in _ROLES[name].items():
        for node_type in names.split():
            roles.setdefault(node_type, []).append(role)
    syntax = Syntax({}, {}, {}, {})
    for kind in range(language.node_kind_count):
        text = language.node_kind_for_id(kind) or ""
        if language.node_kind_is_named(kind):
            syntax.names[kind] = text
            for role in roles.get(text, ()):
                (syntax.token if role in _TOKENS else syntax.flow)[kind] = role
        elif text == "else":
            syntax.flow[kind] = "else"
        elif text in _SHORTHANDS:
            syntax.flow[kind] = "decision"
        elif text in _LOGICAL:
            syntax.flow[kind] = "logical"
            syntax.logical[kind] = _LOGICAL[text]
    return syntax
