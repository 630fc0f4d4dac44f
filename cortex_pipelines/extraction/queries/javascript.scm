; What is a unit of JavaScript and JSX. The captures' meaning: outline.py.
; Of patterns that match one definition, the first in this file wins.
; inherits: ecmascript

(field_definition property: (_) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)
          (generator_function body: (_) @body)]) @definition.method
(field_definition property: (_) @name value: (_)? @body) @definition.variable
