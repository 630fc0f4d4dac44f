; Evidence of labels that JavaScript and TypeScript share. The captures' meaning: marks.py.

(generator_function_declaration) @found.generator
(method_definition "*") @found.generator
((computed_property_name) @found.iterator (#match? @found.iterator "Symbol.(asyncI|i)terator"))
((call_expression function: [(identifier) @_name (member_expression
    property: (property_identifier) @_name)])
  (#any-of? @_name "addEventListener" "subscribe" "addListener")) @found.observer
((call_expression function: (identifier) @_name) @found.hook (#match? @_name "^use[A-Z]"))
((call_expression function: (member_expression object: (identifier) @_object
    property: (property_identifier) @_name)) @found.hook
  (#any-of? @_object "React" "preact") (#match? @_name "^use[A-Z]"))
((call_expression function: [(identifier) @_name (member_expression
    property: (property_identifier) @_name)])
  (#any-of? @_name "useMemo" "useCallback" "memo" "memoize")) @found.memoisation
((new_expression constructor: (identifier) @_name) @found.proxy (#eq? @_name "Proxy"))
(await_expression) @found.async-await
((new_expression constructor: (identifier) @_name) @found.dynamic-code (#eq? @_name "Function"))
((assignment_expression left: (member_expression property: (property_identifier) @_name) right: (_) @_html)
  @found.raw-html (#any-of? @_name "innerHTML" "outerHTML")
  (#not-match? @_html "^(\"[^\"]*\"|'[^']*'|`[^`$]*`)$|[sS]aniti[sz]e"))
((pair key: (property_identifier) @_key value: (false)) @found.disabled-tls-verification
  (#eq? @_key "rejectUnauthorized"))
((call_expression function: (member_expression object: (identifier) @_object
    property: (property_identifier) @_name)) @found.console-output
  (#eq? @_object "console") (#any-of? @_name "log" "debug"))
((function_declaration name: (identifier) @_name body: (statement_block
  (return_statement (new_expression)))) @found.factory (#match? @_name "^(create|make|build|new)[A-Z]"))
((function_declaration name: (identifier) @_name body: (statement_block (_ (_ (_
  (return_statement (new_expression))))))) @found.factory (#match? @_name "^(create|make|build|new)[A-Z]"))
((method_definition name: (property_identifier) @_name body: (statement_block
  (return_statement (new_expression)))) @found.factory
  (#match? @_name "^((create|make|new)([A-Z]|$)|build[A-Z])"))
((assignment_expression left: (member_expression object: (this) property: (property_identifier) @_field)
  right: (identifier)) @found.strategy (#match? @_field "[sS]trategy$"))
