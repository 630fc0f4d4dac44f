; Parameters and evidence of labels in Rust. The captures' meaning: marks.py.

(parameters [(parameter) (variadic_parameter)] @parameter)

((call_expression function: (field_expression field: (field_identifier) @_name))
  (#eq? @_name "unwrap")) @found.unwrap
((macro_invocation macro: (identifier) @_name) @found.panic
  (#any-of? @_name "panic" "todo" "unimplemented"))
(unsafe_block) @found.unsafe
((static_item (mutable_specifier)) @found.global-state)
((use_wildcard) @found.wildcard-import
  (#not-match? @found.wildcard-import "^(self|super|crate|Self)::|prelude"))

((impl_item trait: (type_identifier) @_name) @found.iterator
  (#any-of? @_name "Iterator" "IntoIterator" "DoubleEndedIterator"))
((impl_item trait: (type_identifier) @_name) @found.resource-management (#eq? @_name "Drop"))
((impl_item trait: (type_identifier) @_name) @found.default-value (#eq? @_name "Default"))
((impl_item trait: (generic_type type: (type_identifier) @_name)) @found.conversion
  (#any-of? @_name "From" "Into" "TryFrom" "TryInto"))
((function_item name: (identifier) @_name return_type: (_) @_type) @found.factory
  (#match? @_name "^(from|create|make|new)_[a-z_]+$")
  (#not-match? @_type "Path|Dir\\b|File\\b|Time\\b|String|str\\b|Vec|bool|[<(][iuf]\\d|\\(\\)"))
((struct_item name: (type_identifier) @_name) @found.builder (#match? @_name "Builder$"))
(await_expression) @found.async-await
(match_arm pattern: (match_pattern (tuple_struct_pattern type: (identifier) @_name (_)?))
  value: (block "{" . "}") (#eq? @_name "Err")) @found.swallowed-exception
((expression_statement (call_expression function: (field_expression field: (field_identifier) @_name)))
  @found.ignored-error (#eq? @_name "ok"))
((let_declaration pattern: "_" value: (call_expression)) @found.ignored-error)
((macro_invocation macro: (identifier) @_name) @found.console-output
  (#any-of? @_name "println" "print" "dbg" "eprintln"))
((impl_item trait: (type_identifier) @_name) @found.visitor (#match? @_name "Visitor$"))
((function_item name: (identifier) @_name return_type: (generic_type type: (type_identifier) @_type))
  @found.factory (#match? @_name "^(create|make|build|new)_") (#eq? @_type "Box"))
