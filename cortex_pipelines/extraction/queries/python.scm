; What is a unit of Python. The captures' meaning: outline.py.
; Of patterns that match one definition, the first in this file wins.

((comment) @comment)
(decorator) @attribute
(block ";" @trailing .)
(decorated_definition definition: (_) @wrapped) @wrapper

(call function: [(identifier) @call (attribute attribute: (identifier) @call)])

(function_definition
  "def" @keyword name: (identifier) @name body: (block) @body) @definition.function
(class_definition
  "class" @keyword name: (identifier) @name body: (block) @body) @definition.class
(lambda) @scope.function

; A docstring is no implementation: what follows it is.
(block
  . (expression_statement . (string) @docstring .) . (_)? @implementation
  (#match? @docstring "^[rRuU]?[\"']")) @documented

(import_statement
  name: [(dotted_name) @name (aliased_import name: (dotted_name) @name)]) @definition.import
(import_from_statement module_name: (_) @name) @definition.import
(future_import_statement "__future__" @name) @definition.import

; Those directly in a module or class; an assignment under a condition is no declaration.
; a = b = 1
(module (expression_statement
  (assignment left: (identifier) @name right: (assignment left: (identifier) @name) @body)
  @definition.constant (#match? @name "^_*[A-Z][A-Z0-9_]*$")))
(module (expression_statement
  (assignment left: (identifier) @name right: (assignment left: (identifier) @name) @body)
  @definition.variable))
(module (expression_statement (assignment left: (identifier) @name right: (_)? @body)
  @definition.constant (#match? @name "^_*[A-Z][A-Z0-9_]*$")))
(module (expression_statement (assignment left: [
    (identifier) @name
    [(pattern_list [(identifier) @name (list_splat_pattern (identifier) @name)])
     (tuple_pattern [(identifier) @name (list_splat_pattern (identifier) @name)])
     (list_pattern [(identifier) @name (list_splat_pattern (identifier) @name)])]] right: (_)? @body)
  @definition.variable))
(class_definition body: (block (expression_statement
  (assignment left: (identifier) @name right: (_)? @body)
  @definition.constant (#match? @name "^_*[A-Z][A-Z0-9_]*$"))))
(class_definition body: (block (expression_statement
  (assignment left: [
    (identifier) @name
    [(pattern_list [(identifier) @name (list_splat_pattern (identifier) @name)])
     (tuple_pattern [(identifier) @name (list_splat_pattern (identifier) @name)])
     (list_pattern [(identifier) @name (list_splat_pattern (identifier) @name)])]] right: (_)? @body)
  @definition.variable)))
