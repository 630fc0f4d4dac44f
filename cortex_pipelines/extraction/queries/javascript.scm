; What is a unit of JavaScript and JSX. The captures' meaning: outline.py.
; Of patterns that match one definition, the first in this file wins.

((comment) @comment (#set! doc "/**"))
(decorator) @attribute
(export_statement declaration: (_) @wrapped) @wrapper
(expression_statement (assignment_expression right: [
  (arrow_function) (function_expression) (generator_function) (class)]) @wrapped) @wrapper
(lexical_declaration . (variable_declarator value: [
  (arrow_function) (function_expression) (generator_function) (class)]) @wrapped .) @wrapper
(variable_declaration . (variable_declarator value: [
  (arrow_function) (function_expression) (generator_function) (class)]) @wrapped .) @wrapper
(program (lexical_declaration . (variable_declarator) @wrapped .) @wrapper)
(program (variable_declaration . (variable_declarator) @wrapped .) @wrapper)
(export_statement (lexical_declaration . (variable_declarator) @wrapped .) @wrapper)
(export_statement (variable_declaration . (variable_declarator) @wrapped .) @wrapper)

(call_expression function: [
  (identifier) @call
  (member_expression property: [(property_identifier) (private_property_identifier)] @call)])
(new_expression constructor: [
  (identifier) @call (member_expression property: (property_identifier) @call)])

; A test case of jest, mocha, vitest or node's runner; no unit, but what units are paired with.
((call_expression
  function: [(identifier) @_runner (member_expression object: (identifier) @_runner)]
  arguments: (arguments . [(string) (template_string)] @name
    [(arrow_function body: (_) @body) (function_expression body: (_) @body)])) @definition.test
  (#any-of? @_runner "it" "test" "specify"))

[(arrow_function) (function_expression) (generator_function)] @scope.function
(class) @scope.type

(function_declaration
  "function" @keyword name: (identifier) @name body: (_) @body) @definition.function
(generator_function_declaration
  "function" @keyword name: (identifier) @name body: (_) @body) @definition.function
(class_declaration "class" @keyword name: (identifier) @name body: (_) @body) @definition.class
(export_statement "default" @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)
          (generator_function body: (_) @body)]) @definition.function
(export_statement "default" @name value: (class body: (_) @body)) @definition.class
(variable_declarator name: (identifier) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)
          (generator_function body: (_) @body)]) @definition.function
(variable_declarator name: (identifier) @name value: (class body: (_) @body)) @definition.class
; A function with a name of its own; one that is assigned goes by what it is assigned to.
(arguments (function_expression "function" @keyword name: (identifier) @name body: (_) @body)
  @definition.function)
(return_statement (function_expression "function" @keyword name: (identifier) @name body: (_) @body)
  @definition.function)
(parenthesized_expression
  (function_expression "function" @keyword name: (identifier) @name body: (_) @body)
  @definition.function)

(method_definition name: (_) @name body: (_) @body) @definition.method
(field_definition property: (_) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)
          (generator_function body: (_) @body)]) @definition.method
; A property whose value is a function is a property to the language, no method: { foo: () => {} }
(pair key: [(property_identifier) (string) (number)] @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)
          (generator_function body: (_) @body)]) @scope.method
; Foo.prototype.bar = function () {}
(assignment_expression
  left: (member_expression
    object: (member_expression property: (property_identifier) @_prototype)
    property: (property_identifier) @name)
  right: [(arrow_function body: (_) @body) (function_expression body: (_) @body)
          (generator_function body: (_) @body)]
  (#eq? @_prototype "prototype")) @definition.method
(assignment_expression
  left: [(identifier) @name (member_expression property: (property_identifier) @name)]
  right: [(arrow_function body: (_) @body) (function_expression body: (_) @body)
          (generator_function body: (_) @body)]) @definition.function
(assignment_expression
  left: [(identifier) @name (member_expression property: (property_identifier) @name)]
  right: (class body: (_) @body)) @definition.class

(import_statement source: (string) @name) @definition.import

; Those of a module; one under a condition is no declaration of the module.
(program (lexical_declaration ["const" @constant "let"]
  (variable_declarator name: (identifier) @name value: (_)? @body) @definition.variable))
(program (variable_declaration
  (variable_declarator name: (identifier) @name value: (_)? @body) @definition.variable))
(export_statement (lexical_declaration ["const" @constant "let"]
  (variable_declarator name: (identifier) @name value: (_)? @body) @definition.variable))
(export_statement (variable_declaration
  (variable_declarator name: (identifier) @name value: (_)? @body) @definition.variable))
(program (lexical_declaration ["const" @constant "let"]
  (variable_declarator name: [
    (object_pattern [
      (shorthand_property_identifier_pattern) @name
      (object_assignment_pattern left: (shorthand_property_identifier_pattern) @name)
      (pair_pattern value: [
        (identifier) @name (assignment_pattern left: (identifier) @name)])
      (rest_pattern (identifier) @name)])
    (array_pattern [
      (identifier) @name
      (assignment_pattern left: (identifier) @name)
      (rest_pattern (identifier) @name)])]
    value: (_) @body) @definition.variable))
(field_definition property: (_) @name value: (_)? @body) @definition.variable
