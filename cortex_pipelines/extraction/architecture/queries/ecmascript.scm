; What in JavaScript and TypeScript code says something about the architecture.

(import_statement source: (string)) @import
(export_statement source: (string)) @import
((call_expression function: [(identifier) (import)] @_name
  arguments: (arguments . [(string) (template_string)])) @import
  (#any-of? @_name "require" "import"))
((call_expression function: (member_expression property: (property_identifier) @_name)) @call
  (#any-of? @_name "get" "post" "put" "patch" "delete" "del" "head" "options" "all" "use" "route"
    "define" "model" "register" "init"))
(variable_declarator value: [(call_expression) (new_expression)]) @assigned
(export_statement) @export
((assignment_expression left: (member_expression) @_name) @exports
  (#any-of? @_name "module.exports" "exports"))
((new_expression constructor: [(identifier) @_name (member_expression property: (_) @_name)]) @new
  (#any-of? @_name "Schema" "EntitySchema"))
((call_expression function: (identifier) @_name) @build
  (#any-of? @_name "pgTable" "mysqlTable" "sqliteTable"))
