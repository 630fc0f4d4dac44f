; What is a unit of Go. The captures' meaning: outline.py.
; Of patterns that match one definition, the first in this file wins.

((comment) @comment (#set! doc ""))
(type_declaration "type" . [(type_spec) (type_alias)] @wrapped .) @wrapper
(const_declaration "const" . (const_spec) @wrapped .) @wrapper
(var_declaration "var" . (var_spec) @wrapped .) @wrapper
(import_declaration (import_spec) @wrapped) @wrapper
; what stands alone between parentheses is still one of a group
(type_declaration "(" [(type_spec) (type_alias)] @grouped)
(const_declaration "(" (const_spec) @grouped)

(func_literal) @scope.function

(function_declaration
  "func" @keyword name: (identifier) @name body: (_)? @body) @definition.function
(method_declaration
  "func" @keyword
  receiver: (parameter_list (parameter_declaration type: [
    (type_identifier) @receiver
    (generic_type type: (type_identifier) @receiver)
    (pointer_type (type_identifier) @receiver)
    (pointer_type (generic_type type: (type_identifier) @receiver))]))
  name: (field_identifier) @name body: (_)? @body) @definition.method
(method_declaration
  "func" @keyword name: (field_identifier) @name body: (_)? @body) @definition.method
(method_elem name: (field_identifier) @name) @definition.method

(type_spec name: (type_identifier) @name
  type: (struct_type (field_declaration_list) @body)) @definition.struct
(type_spec name: (type_identifier) @name type: (interface_type "{" @body)) @definition.interface
(type_alias name: (type_identifier) @name
  type: (struct_type (field_declaration_list) @body)) @definition.struct
(type_alias name: (type_identifier) @name type: (interface_type "{" @body)) @definition.interface

(import_spec path: (_) @name) @definition.import

; only the first of several names has the field `name`
((const_spec (identifier) @name) @definition.constant (#set! body value))
((var_spec name: (identifier) @name) @definition.variable (#set! body value))
