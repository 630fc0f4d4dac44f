; What refers to what in Go code. The first capture names the kind; references.py.

(package_clause) @package
(import_spec) @import
(call_expression function: [
  (identifier) @call
  (type_instantiation_expression type: (type_identifier) @call)])
(call_expression function: (selector_expression) @member)
(composite_literal type: [(type_identifier) @call (qualified_type) @member])

(field_declaration !name type: (_) @base)
(struct_type (field_declaration_list (field_declaration !name type: (_) @field)))
(interface_type (type_elem (_) @base))

(parameter_declaration name: (identifier) @variable type: (_) @_type)
(func_literal parameters: (parameter_list (parameter_declaration name: (identifier) @closure)))
(var_spec name: (identifier) @variable type: (_) @_type)
(var_spec name: (identifier) @variable value: (expression_list . (call_expression function: (_) @_made)))
(field_declaration name: (field_identifier) @field type: (_) @_type)
(short_var_declaration left: (expression_list . (identifier) @variable)
  right: (expression_list . [
    (call_expression function: (_) @_made)
    (composite_literal type: (_) @_type)
    (unary_expression operand: (composite_literal type: (_) @_type))]))
(range_clause left: (expression_list (identifier) @variable))

(argument_list [(identifier) (selector_expression)] @passed)
(literal_value (literal_element [(identifier) (selector_expression)] @passed))
(keyed_element . (_) (literal_element [(identifier) (selector_expression)] @passed))
(assignment_statement right: (expression_list [(identifier) (selector_expression)] @passed))

(short_var_declaration left: (expression_list (identifier) @local))
(var_spec name: (identifier) @local)
(range_clause left: (expression_list (identifier) @local))
