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

(variable_declarator
  name: (object_pattern (shorthand_property_identifier_pattern) @taken) value: (identifier) @_from)
(variable_declarator
  name: (object_pattern (pair_pattern key: (_) @_name value: (identifier) @taken)) value: (identifier) @_from)

(member_expression) @read
(assignment_expression left: (member_expression) @write)
(function_declaration body: (statement_block (return_statement (_) @result)))
(method_definition body: (statement_block (return_statement (_) @result)))
(variable_declarator value: (arrow_function body: [
  (statement_block (return_statement (_) @result))
  (new_expression) @result
  (call_expression) @result]))

(export_statement "default" value: (_) @default)
(export_statement "default" declaration: (_ name: (_) @default))
((assignment_expression left: (member_expression) @_left right: (_) @default) (#eq? @_left "module.exports"))
(arrow_function parameter: (identifier) @closure)

(export_statement !source (export_clause (export_specifier name: (_) @default alias: (_) @_name)))
((assignment_expression
  left: (member_expression object: (_) @_left property: (_) @_name) right: (identifier) @default)
  (#any-of? @_left "exports" "module.exports"))
((assignment_expression
  left: (member_expression) @_left
  right: (object (pair key: (property_identifier) @_name value: (identifier) @default)))
  (#eq? @_left "module.exports"))

(arguments [(identifier) (member_expression)] @passed)
(pair value: [(identifier) (member_expression)] @passed)
(object (shorthand_property_identifier) @passed)
(array [(identifier) (member_expression)] @passed)
(assignment_expression right: [(identifier) (member_expression)] @passed)
(variable_declarator value: [(identifier) (member_expression)] @passed)

(variable_declarator name: (identifier) @local)
(shorthand_property_identifier_pattern) @local
(pair_pattern value: (identifier) @local)
(array_pattern (identifier) @local)
(for_in_statement left: (identifier) @local)
(object_assignment_pattern left: (_) @local)
