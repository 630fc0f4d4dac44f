"""What the nodes of six grammars do with a literal inside them.

The grammars use similar names for the same constructs, so one table serves all of them.
"""

import re

from cortex_pipelines.privacy.detect.text.wording import word_set

STRINGS = word_set(
    "string template_string string_literal interpreted_string_literal raw_string_literal concatenated_string"
)
"""Literals; `concatenated_string` is Python's for adjacent ones."""

PROSE = word_set("comment line_comment block_comment doc_comment jsx_text regex hash_bang_line")
"""What is not code."""

INTERPOLATIONS = word_set("interpolation template_substitution")

NAMED = {
    kind: fields
    for fields, kinds in {
        ("left", "right"): "assignment augmented_assignment assignment_expression "
        "augmented_assignment_expression compound_assignment_expr assignment_pattern "
        "object_assignment_pattern short_var_declaration assignment_statement for_statement "
        "for_in_clause for_in_statement range_clause",
        ("name", "value"): "named_expression keyword_argument default_parameter const_spec "
        "typed_default_parameter variable_declarator public_field_definition enum_assignment "
        "annotation_type_element_declaration var_spec const_item static_item "
        "enhanced_for_statement",
        ("key", "value"): "pair keyed_element element_value_pair pair_pattern",
        ("pattern", "value"): "required_parameter optional_parameter let_declaration let_condition for_expression",
        ("property", "value"): "field_definition",
        ("field", "value"): "field_initializer",
    }.items()
    for kind in kinds.split()
}
"""Fields of a node that hold the name and the value that reaches it."""

KEYED = word_set("pair keyed_element element_value_pair pair_pattern field_initializer")
"""Those whose name is a key in something that may have a name itself."""

CHAINED = word_set("assignment assignment_expression assignment_pattern named_expression")
"""Those that are values themselves: ``a = b = "…"``."""

ARGUMENTS = word_set("argument_list arguments annotation_argument_list")

CALLS = {
    "call": "function",
    "call_expression": "function",
    "new_expression": "constructor",
    "method_invocation": "name",
    "object_creation_expression": "type",
    "enum_constant": "name",
    "annotation": "name",
}
"""The field of a call that says what is called."""

MEMBERS = {
    "attribute": ("object", "attribute"),
    "member_expression": ("object", "property"),
    "field_access": ("object", "field"),
    "field_expression": ("value", "field"),
    "selector_expression": ("operand", "field"),
    "scoped_identifier": ("path", "name"),
}
"""Fields of an attribute: of what, and which."""

SUBSCRIPTS = {
    "subscript": ("value", "subscript"),
    "subscript_expression": ("object", "index"),
    "index_expression": ("operand", "index"),
    "array_access": ("array", "index"),
}

LISTS = word_set(
    "list tuple set expression_list array tuple_expression array_expression array_initializer literal_value"
)
PATTERNS = word_set("pattern_list tuple_pattern list_pattern array_pattern expression_list slice_pattern tuple list")

CHOICES = word_set("boolean_operator conditional_expression ternary_expression if_expression")
BINARY = word_set("boolean_operator binary_expression binary_operator comparison_operator")
FALLBACKS_BY_OPERATOR = frozenset(["or", "||", "??"])
PASSING_OPERATORS = FALLBACKS_BY_OPERATOR | {"and", "&&", "+", "%"}
COMPARISONS = frozenset(["==", "!=", "===", "!==", "in", "not in"])
CASES = {
    "switch_case": "switch_statement",
    "switch_label": "switch_expression",
    "expression_case": "expression_switch_statement",
    "case_pattern": "match_statement",
    "match_pattern": "match_expression",
}
"""What a literal is compared with in a branch stands in the node around all branches."""

SUBJECTS = ("value", "condition", "subject")

CLASSES = word_set("class_definition class_declaration enum_declaration enum_item")
CLASS_PARTS = word_set("expression_statement block class_body enum_body field_declaration enum_body_declarations")
RETURNS = word_set("return_statement return_expression")
FUNCTIONS = word_set(
    "function_definition function_declaration method_definition method_declaration function_item "
    "generator_function_declaration function_expression"
)
ANONYMOUS = word_set("arrow_function lambda lambda_expression closure_expression func_literal")

CALLED = ANONYMOUS | {"template_string", "parenthesized_expression"}
"""What is called where it is written, and the text of a tagged template."""

THROUGH = word_set(
    "parenthesized_expression as_expression satisfies_expression type_assertion non_null_expression cast_expression "
    "type_cast_expression type_conversion_expression await_expression await jsx_expression template_substitution "
    "interpolation reference_expression unary_expression try_expression literal_element composite_literal "
    "array_creation_expression dictionary object object_type sequence_expression spread_element struct_expression "
    "field_initializer_list else_clause match_arm match_block match_expression switch_expression switch_block "
    "switch_rule yield_statement list_comprehension set_comprehension dictionary_comprehension generator_expression "
    "dictionary_splat object_pattern unsafe_block const_block break_expression type type_parameter generic_type "
    "modifiers switch_block_statement_group tuple_struct_pattern or_pattern union_pattern"
)
"""What passes on the value of what is inside."""

ANNOTATIONS = word_set("annotation decorator attribute_item")
PARENTHESES = word_set("parenthesized_expression expression_list")
STATEMENT = "expression_statement"

GENERIC_KEYS = word_set(
    "default value initial defaultvalue default_value fallback const defaultval server_default default_factory factory "
    "example envdefault data text string"
)
"""Keyword arguments whose value is that of what the call defines."""

NAME_KEYS = word_set("name key id variable parameter field option setting property header env")
"""Keys whose value names the value beside them."""

VALUE_KEYS = word_set("value val secret default content")
"""Keys of such a value."""

CONVERSIONS = word_set(
    "string str bytes bytearray from of new some ok box arc rc cow just just buffer encode decode tostring to_string "
    "to_owned into format valueof copyof secretstr secretbytes secret secretstring secretvec zeroizing field column "
    "mapped_column charfield textfield stringfield trim strip fromstring from_str ofnullable nonnull requirenonnull "
    "tobytes tochararray atob btoa b64decode b64encode base64 urlsafe_b64decode decodestring unhexlify fromhex dedent "
    "pointer ptr freeze identity cast unwrap expect ref computed usestate observable aslist list set tuple array "
    "arrays sprintf sprint lazy lazylock oncelock new_unchecked optional final constant from_static as_ref as_str "
    "intern memoryview textencoder unescape"
)
"""Calls, in lower case, whose value is that of their argument in another form."""

FALLBACKS = word_set(
    "unwrap_or unwrap_or_else or or_else orelse orelseget unwrap_or_default coalesce firstnonnull firstnonempty "
    "first_non_empty defaultifempty defaultifblank defaultstring map_or map_or_else getordefault get getenv "
    "getproperty environ env getstring get_or getornull getattr pop config setdefault default getenvdefault getenvor "
    "envor getenvordefault get_env getconf envordefault lookup option getvalue optstring read ifempty ifblank nvl "
    "isnull requirenonnullelse requirenonnullelseget dict_get get_or_insert getoption or_insert or_insert_with "
    "putifabsent get_or_init get_or_try_init computeifabsent getstringor string stringvar getconfig read_env "
    "getsetting"
)
"""Calls, in lower case, that give a literal where nothing else is set."""

LOOKUPS = word_set(
    "get getenv getproperty environ env getstring get_or getornull getattr pop config setdefault getenvdefault "
    "getenvor envor getenvordefault get_env getconf envordefault lookup option getvalue optstring read stringvar "
    "getconfig read_env getsetting getordefault string"
)
"""Those whose first argument is a name."""

PUTS = word_set(
    "put set add header append setitem setproperty setenv set_var setattr with property attr field entry of insert "
    "setheader addheader setrequestheader option env arg withentry pair setdefault setstring setsecret store write "
    "register define param queryparam query formparam addparameter addqueryparameter from set_header basic_auth "
    "basicauth setbasicauth postform parameter config addproperty addfield setconfig putstring setcookie cookie tag"
)
"""Calls, in lower case, that take a key and its value."""

EQUALS = word_set(
    "equals equalsignorecase compare_digest equal equalfold eq ne isequal contentequals compare timingsafeequal "
    "constanttimecompare compareto eq_ignore_ascii_case starts_with is"
)
ASSERTS = re.compile(r"(?i)assert_?(?:equals?|eq|that|same)|strictequal|deepequal|tobe|toequal")
JOINS = word_set("join concat")
SETTING = word_set("set with use put add update change default new init override")
"""First words of setters."""

DEFAULT_ANNOTATIONS = word_set("value defaultvalue default configproperty")
"""Annotations, in lower case, that give what they annotate a value."""

OPENING = word_set("api access secret private auth encryption signing jwt bearer app client db")
"""First words of names such as ``apiKey``."""
