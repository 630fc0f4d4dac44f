; What refers to what in TypeScript.
; inherits: ecmascript

(extends_clause value: (_) @base)
(implements_clause (_) @base)
(extends_type_clause (_) @base)
(required_parameter pattern: (identifier) @variable)
(required_parameter pattern: (identifier) @variable type: (type_annotation (_) @_type))
(required_parameter (accessibility_modifier) pattern: (identifier) @field
  type: (type_annotation (_) @_type))
(optional_parameter pattern: (identifier) @variable type: (type_annotation (_) @_type))
(variable_declarator name: (identifier) @variable type: (type_annotation (_) @_type))
(public_field_definition name: (property_identifier) @field type: (type_annotation (_) @_type))
(public_field_definition name: (property_identifier) @field
  value: (new_expression constructor: (_) @_made))
(arrow_function parameters: (formal_parameters (required_parameter pattern: (identifier) @closure)))
