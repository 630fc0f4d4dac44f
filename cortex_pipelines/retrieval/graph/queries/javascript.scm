; What refers to what in JavaScript and JSX.
; inherits: ecmascript
; inherits: jsx

(class_heritage [(identifier) (member_expression)] @base)
(formal_parameters (identifier) @variable)
(field_definition property: (property_identifier) @field
  value: (new_expression constructor: (_) @_made))
(arrow_function parameters: (formal_parameters (identifier) @closure))
