; What refers to what in JavaScript and TypeScript. The first capture names the kind; references.py.

(import_statement source: (string)) @import
(export_statement source: (string)) @import
((call_expression function: [(identifier) (import)] @_name
  arguments: (arguments . [(string) (template_string)])) @import
  (#any-of? @_name "require" "import"))

(call_expression function: (identifier) @call)
(call_expression function: (member_expression) @member)
(new_expression constructor: [(identifier) @call (member_expression) @member])

(variable_declarator name: (identifier) @variable value: (new_expression constructor: (_) @_made))
(variable_declarator name: (identifier) @variable value: (call_expression function: (_) @_made))
(assignment_expression left: [(identifier) (member_expression)] @variable
  right: (new_expression constructor: (_) @_made))
