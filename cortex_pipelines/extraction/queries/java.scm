; What is a unit of Java. The captures' meaning: outline.py.
; Of patterns that match one definition, the first in this file wins.

((block_comment) @comment (#set! doc "/**") (#set! apart))
; JEP 467
((line_comment) @comment (#set! doc "///"))
(modifiers [(annotation) (marker_annotation)] @attribute)
(field_declaration type: (_) . declarator: (variable_declarator) @wrapped .) @wrapper
(constant_declaration type: (_) . declarator: (variable_declarator) @wrapped .) @wrapper

(lambda_expression) @scope.function
(object_creation_expression (class_body)) @scope.type

(class_declaration "class" @keyword name: (identifier) @name body: (_) @body) @definition.class
(record_declaration "record" @keyword name: (identifier) @name body: (_) @body) @definition.class
(interface_declaration
  "interface" @keyword name: (identifier) @name body: (_) @body) @definition.interface
(annotation_type_declaration
  "@interface" @keyword name: (identifier) @name body: (_) @body) @definition.interface
(enum_declaration "enum" @keyword name: (identifier) @name body: (_) @body) @definition.enum

(method_declaration name: (identifier) @name body: (_)? @body) @definition.method
(constructor_declaration name: (identifier) @name body: (_) @body) @definition.method
(compact_constructor_declaration name: (identifier) @name body: (_) @body) @definition.method
(annotation_type_element_declaration name: (identifier) @name) @definition.method

(import_declaration [(scoped_identifier) (identifier)] @name (asterisk)? @name_end)
  @definition.import

(enum_constant name: (identifier) @name body: (_)? @body) @definition.constant
(constant_declaration declarator:
  (variable_declarator name: (identifier) @name value: (_)? @body) @definition.constant)
(field_declaration (modifiers "static" "final") declarator:
  (variable_declarator name: (identifier) @name value: (_)? @body) @definition.constant)
(field_declaration (modifiers "final" "static") declarator:
  (variable_declarator name: (identifier) @name value: (_)? @body) @definition.constant)
(field_declaration declarator:
  (variable_declarator name: (identifier) @name value: (_)? @body) @definition.variable)
