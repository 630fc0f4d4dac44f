; What is a unit of Rust. The captures' meaning: outline.py.
; Of patterns that match one definition, the first in this file wins.

((line_comment) @comment (#set! doc "///"))
((block_comment) @comment (#set! doc "/**"))
(attribute_item) @attribute

(closure_expression) @scope.function
(mod_item name: (identifier) @name body: (_) @body) @scope.module
(impl_item type: [
  (type_identifier) @name
  (scoped_type_identifier name: (type_identifier) @name)
  (generic_type type: (type_identifier) @name)
  (generic_type type: (scoped_type_identifier name: (type_identifier) @name))] body: (_) @body)
  @scope.type
(impl_item type: (_) @name body: (_) @body) @scope.type

(function_item "fn" @keyword name: (_) @name body: (_) @body) @definition.function
(function_signature_item "fn" @keyword name: (_) @name) @definition.function
(struct_item "struct" @keyword name: (type_identifier) @name body: (_)? @body) @definition.struct
(union_item "union" @keyword name: (type_identifier) @name body: (_) @body) @definition.struct
(enum_item "enum" @keyword name: (type_identifier) @name body: (_) @body) @definition.enum
(trait_item "trait" @keyword name: (type_identifier) @name body: (_) @body) @definition.trait

(use_declaration argument: (_) @name) @definition.import
(extern_crate_declaration name: (identifier) @name) @definition.import

(const_item name: (identifier) @name value: (_)? @body) @definition.constant
(static_item name: (identifier) @name value: (_)? @body) @definition.variable
