; Parameters and evidence of labels in Java. The captures' meaning: marks.py.

(formal_parameters [(formal_parameter) (spread_parameter)] @parameter)

(catch_clause body: (block "{" . "}")) @found.swallowed-exception
((method_invocation name: (identifier) @_name) @found.print-stack-trace
  (#eq? @_name "printStackTrace"))
((field_access object: (identifier) @_object field: (identifier) @_field)
  (#eq? @_object "System") (#any-of? @_field "out" "err")) @found.console-output
(import_declaration (asterisk)) @found.wildcard-import

((method_declaration name: (identifier) @_name) @found.singleton (#eq? @_name "getInstance"))
((method_declaration name: (identifier) @_name) @found.observer
  (#match? @_name "^(add|remove)[A-Za-z]*(Listener|Observer)$"))
((method_declaration name: (identifier) @_name) @found.visitor
  (#match? @_name "^(accept|visit([A-Z][A-Za-z]*)?)$"))
((marker_annotation name: (identifier) @_name) @found.dependency-injection
  (#any-of? @_name "Inject" "Autowired"))
((class_declaration interfaces: (super_interfaces (type_list (type_identifier) @_name))) @found.context-manager
  (#any-of? @_name "AutoCloseable" "Closeable"))
(try_with_resources_statement) @found.resource-management
(finally_clause (block (return_statement) @found.return-in-finally))
((binary_expression operator: ["==" "!="] [(string_literal)]) @found.string-identity)
((method_declaration name: (identifier) @_name body: (block
  (return_statement (object_creation_expression)))) @found.factory
  (#match? @_name "^(create|make|build|new|of|from|get)[A-Z]|^(of|create)$"))
((method_declaration name: (identifier) @_name body: (block (_ (_ (_
  (return_statement (object_creation_expression)))))))  @found.factory
  (#match? @_name "^(create|make|build|new|for)[A-Z]|^(of|create)$"))
(record_declaration) @found.value-object
((assignment_expression left: (field_access object: (this) field: (identifier) @_field)
  right: (identifier)) @found.strategy (#match? @_field "[sS]trategy$"))
