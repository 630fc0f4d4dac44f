; Parameters and evidence of labels in JavaScript and JSX. The captures' meaning: marks.py.

(formal_parameters (_) @parameter)
(formal_parameters (comment) @receiver)
(arrow_function parameter: (identifier) @parameter)

(catch_clause body: (statement_block "{" . "}")) @found.swallowed-exception
((binary_expression operator: ["==" "!="] right: (_) @_right) @found.loose-equality
  (#not-match? @_right "^(null|undefined)$"))
(with_statement) @found.with-statement

; inherits: ecmascript
