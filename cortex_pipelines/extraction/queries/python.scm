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

; Those of a module or class; one under a condition or in a try is further below.
; a = b = 1
(module (expression_statement
  (assignment left: (identifier) @name right: (assignment left: (identifier) @name) @body)
  @definition.constant (#match? @name "^_*[A-Z][A-Z0-9_]*$")))
(module (expression_statement
  (assignment left: (identifier) @name right: (assignment left: (identifier) @name) @body)
  @definition.variable))
((block (expression_statement
  (assignment left: (identifier) @name right: (assignment left: (identifier) @name) @body)
  @definition.constant)) (#match? @name "^_*[A-Z][A-Z0-9_]*$"))
(block (expression_statement
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
; Of modules and classes too: what is local to a function around them, nesting.py leaves out.
([(if_statement (block (expression_statement
   (assignment left: (identifier) @name right: (_)? @body) @definition.constant)))
 (elif_clause (block (expression_statement
   (assignment left: (identifier) @name right: (_)? @body) @definition.constant)))
 (else_clause (block (expression_statement
   (assignment left: (identifier) @name right: (_)? @body) @definition.constant)))
 (try_statement (block (expression_statement
   (assignment left: (identifier) @name right: (_)? @body) @definition.constant)))
 (except_clause (block (expression_statement
   (assignment left: (identifier) @name right: (_)? @body) @definition.constant)))
 (finally_clause (block (expression_statement
   (assignment left: (identifier) @name right: (_)? @body) @definition.constant)))]
 (#match? @name "^_*[A-Z][A-Z0-9_]*$"))
[(if_statement (block (expression_statement
   (assignment left: [(identifier) @name (pattern_list [(identifier) @name (list_splat_pattern (identifier) @name)])]
     right: (_)? @body) @definition.variable)))
 (elif_clause (block (expression_statement
   (assignment left: [(identifier) @name (pattern_list [(identifier) @name (list_splat_pattern (identifier) @name)])]
     right: (_)? @body) @definition.variable)))
 (else_clause (block (expression_statement
   (assignment left: [(identifier) @name (pattern_list [(identifier) @name (list_splat_pattern (identifier) @name)])]
     right: (_)? @body) @definition.variable)))
 (try_statement (block (expression_statement
   (assignment left: [(identifier) @name (pattern_list [(identifier) @name (list_splat_pattern (identifier) @name)])]
     right: (_)? @body) @definition.variable)))
 (except_clause (block (expression_statement
   (assignment left: [(identifier) @name (pattern_list [(identifier) @name (list_splat_pattern (identifier) @name)])]
     right: (_)? @body) @definition.variable)))
 (finally_clause (block (expression_statement
   (assignment left: [(identifier) @name (pattern_list [(identifier) @name (list_splat_pattern (identifier) @name)])]
     right: (_)? @body) @definition.variable)))]
