; Parameters and evidence of labels in TypeScript and TSX. The captures' meaning: marks.py.

(formal_parameters [(required_parameter) (optional_parameter)] @parameter)
((formal_parameters . (required_parameter pattern: (this)) @receiver))
(arrow_function parameter: (identifier) @parameter)

(catch_clause body: (statement_block "{" . "}")) @found.swallowed-exception
((binary_expression operator: ["==" "!="] right: (_) @_right) @found.loose-equality
  (#not-match? @_right "^(null|undefined)$"))
((predefined_type) @found.any-type (#eq? @found.any-type "any"))
(non_null_expression) @found.non-null-assertion

; inherits: ecmascript

((decorator (call_expression function: (identifier) @_name)) @found.dependency-injection
  (#any-of? @_name "Injectable" "Inject"))
