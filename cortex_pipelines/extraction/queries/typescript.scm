; What is a unit of TypeScript and TSX. The captures' meaning: outline.py.
; Of patterns that match one definition, the first in this file wins.

; How an ambient function or overload without a name is shown: grammars.py.
([(function_declaration "function" @keyword name: (identifier) @name body: (_) @body)
  (function_signature "function" @keyword name: (identifier) @name)]
  @definition.function (#eq? @name "$dfault") (#set! name "default"))
; inherits: ecmascript

(expression_statement (internal_module) @wrapped) @wrapper
(ambient_declaration (_) @wrapped) @wrapper
(internal_module name: (_) @name body: (_) @body) @scope.module
(module name: (_) @name body: (_) @body) @scope.module

(abstract_class_declaration
  "class" @keyword name: (type_identifier) @name body: (_) @body) @definition.class
(interface_declaration
  "interface" @keyword name: (type_identifier) @name body: (_) @body) @definition.interface
(enum_declaration "enum" @keyword name: (identifier) @name body: (_) @body) @definition.enum
(function_signature "function" @keyword name: (identifier) @name) @definition.function
[(method_signature name: (_) @name) (abstract_method_signature name: (_) @name)]
  @definition.method
(public_field_definition name: (_) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)
          (generator_function body: (_) @body)]) @definition.method
(public_field_definition name: (_) @name value: (_)? @body) @definition.variable

(import_statement (import_require_clause source: (string) @name)) @definition.import

; Those of what is declared for others, and of namespaces.
(ambient_declaration [
  (lexical_declaration ["const" @constant "let"]
    (variable_declarator name: (_) @name value: (_)? @body) @definition.variable)
  (variable_declaration
    (variable_declarator name: (_) @name value: (_)? @body) @definition.variable)] @whole)
[(internal_module body: (statement_block [
  (lexical_declaration ["const" @constant "let"]
    (variable_declarator name: (_) @name value: (_)? @body) @definition.variable)
  (variable_declaration
    (variable_declarator name: (_) @name value: (_)? @body) @definition.variable)] @whole))
 (module body: (statement_block [
  (lexical_declaration ["const" @constant "let"]
    (variable_declarator name: (_) @name value: (_)? @body) @definition.variable)
  (variable_declaration
    (variable_declarator name: (_) @name value: (_)? @body) @definition.variable)] @whole))
 (ambient_declaration "global" (statement_block [
  (lexical_declaration ["const" @constant "let"]
    (variable_declarator name: (_) @name value: (_)? @body) @definition.variable)
  (variable_declaration
    (variable_declarator name: (_) @name value: (_)? @body) @definition.variable)] @whole))]
