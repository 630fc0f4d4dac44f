; Parameters and evidence of labels in Go. The captures' meaning: marks.py.

(_ parameters: (parameter_list (parameter_declaration name: (identifier) @parameter)))
(_ parameters: (parameter_list (parameter_declaration !name) @parameter))
(_ parameters: (parameter_list (variadic_parameter_declaration) @parameter))
(function_type parameters: (parameter_list [
  (_) @receiver
  (parameter_declaration name: (identifier) @receiver)]))

(assignment_statement left: (expression_list . (identifier) @_name .)
  right: (expression_list (call_expression)) (#eq? @_name "_")) @found.ignored-error
((call_expression function: (identifier) @_name) @found.panic (#eq? @_name "panic"))
(goto_statement) @found.goto
(import_spec name: (dot)) @found.wildcard-import

(go_statement) @found.goroutine
(select_statement) @found.channel-select
((defer_statement) @found.resource-management
  ; not a function that only assigns
  (#match? @found.resource-management "^defer [^{]*$|\\{[^}]*\\w\\("))
(var_spec type: (qualified_type package: (package_identifier) @_package
    name: (type_identifier) @_name) (#eq? @_package "sync") (#eq? @_name "Once")) @found.singleton
((function_declaration name: (identifier) @_name result: (type_identifier) @_type)
  @found.functional-options (#match? @_name "^With[A-Z]") (#match? @_type "Option"))
((function_declaration name: (identifier) @_name
    result: (qualified_type name: (type_identifier) @_type))
  @found.functional-options (#match? @_name "^With[A-Z]") (#match? @_type "Option"))
((function_declaration name: (identifier) @_name) @found.factory (#match? @_name "^New([A-Z]|$)"))
((if_statement condition: (binary_expression left: (identifier) @_left operator: "!=" right: (nil))
  consequence: (block "{" . "}")) @found.swallowed-exception (#match? @_left "^_?[eE]rr"))
((keyed_element (literal_element (identifier) @_key) (literal_element (true)))
  @found.disabled-tls-verification (#eq? @_key "InsecureSkipVerify"))
((call_expression function: (selector_expression operand: (identifier) @_package
    field: (field_identifier) @_name)) @found.console-output
  (#eq? @_package "fmt") (#any-of? @_name "Println" "Printf" "Print"))
((method_declaration name: (field_identifier) @_name) @found.observer
  (#any-of? @_name "Subscribe" "Notify" "AddListener"))
