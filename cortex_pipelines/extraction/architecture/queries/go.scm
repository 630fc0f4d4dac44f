; What in Go code says something about the architecture.

(package_clause) @package
(import_spec) @import
((call_expression function: (selector_expression field: (field_identifier) @_name)) @call
  (#any-of? @_name "GET" "POST" "PUT" "PATCH" "DELETE" "HEAD" "OPTIONS" "Any" "Get" "Post" "Put"
    "Patch" "Delete" "Head" "Options" "All" "Add" "Handle" "HandleFunc" "Method" "MethodFunc"
    "Mount" "Route" "Group" "With"))
((call_expression arguments: (argument_list [
    (identifier)
    (call_expression function: (selector_expression field: (field_identifier) @_name))])) @passed
  (#eq? @_name "Group"))
(short_var_declaration right: (expression_list (call_expression))) @assigned
(assignment_statement right: (expression_list (call_expression))) @assigned
(type_spec type: (struct_type)) @struct
((method_declaration name: (field_identifier) @_name) @tablename (#eq? @_name "TableName"))
