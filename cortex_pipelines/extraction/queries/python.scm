; What is a unit of Python. The captures' meaning: outline.py.
; Of patterns that match one definition, the first in this file wins.

((comment) @comment)
(decorator) @attribute
(block ";" @trailing .)
(decorated_definition definition: (_) @wrapped) @wrapper

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

; What is local to a function, nesting.py leaves out.
; a = b = 1
((expression_statement (assignment
  left: [(identifier) (pattern_list) (tuple_pattern) (list_pattern)] @name
  right: [(assignment left: [(identifier) @name (_)]
    right: [(assignment left: [(identifier) @name (_)]
      right: [(assignment left: [(identifier) @name (_)]
        right: [(assignment left: (identifier) @name) (_)]) (_)]) (_)]) (_)]? @body)
  @definition.variable) (#set! constant "^_*[A-Z][A-Z0-9_]*$"))
((expression_statement (assignment left: [(attribute) (subscript)]
  right: (assignment left: (identifier) @name right: (_) @body)) @definition.variable)
  (#set! constant "^_*[A-Z][A-Z0-9_]*$"))
