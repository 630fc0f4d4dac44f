; What is a unit of JavaScript and of TypeScript. The captures' meaning: outline.py.
; Of patterns that match one definition, the first in this file wins.

((comment) @comment (#set! doc "/**") (#set! apart))
(decorator) @attribute
(export_statement declaration: (_) @wrapped) @wrapper

; A test case of jest, mocha, vitest or node's runner; no unit, but what units are paired with.
((expression_statement (call_expression
  function: [(identifier) @_runner (member_expression object: (identifier) @_runner)]
  arguments: (arguments . [(string) (template_string)] @name
    [(arrow_function body: (_) @body) (function_expression body: (_) @body)]))) @definition.test
  (#any-of? @_runner "it" "test" "specify"))

; The same of QUnit, where `module` takes a name and a function too.
((expression_statement (call_expression
  function: (member_expression
    object: (identifier) @_library property: (property_identifier) @_runner)
  arguments: (arguments . [(string) (template_string)] @name
    [(arrow_function body: (_) @body) (function_expression body: (_) @body)]))) @definition.test
  (#eq? @_library "QUnit") (#any-of? @_runner "test" "only" "todo"))

; A function that is passed on or returned is no unit, even if it has a name of its own.
[(arrow_function) (function_expression) (generator_function)] @scope.function
(class) @scope.type

(function_declaration "function" @keyword name: (_) @name body: (_) @body) @definition.function
(generator_function_declaration
  "function" @keyword name: (_) @name body: (_) @body) @definition.function
(class_declaration "class" @keyword name: (_) @name body: (_) @body) @definition.class
(export_statement "default" @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)
          (generator_function body: (_) @body)]) @definition.function
(export_statement "default" @name value: (class body: (_) @body)) @definition.class
(_ (variable_declarator name: (identifier) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)
          (generator_function body: (_) @body)]) @definition.function) @whole
(_ (variable_declarator name: (identifier) @name value: (class body: (_) @body))
  @definition.class) @whole

; `get` and `set` that describe a property are called by its name: defineProperties(a, { size: { get() {} } })
(_ (object (method_definition name: (property_identifier) @name
  parameters: (formal_parameters "(" . ")") body: (_) @body) @scope.method)
  (#eq? @name "get"))
(_ (object (method_definition name: (property_identifier) @name
  parameters: (formal_parameters "(" . (_) . ")") body: (_) @body) @scope.method)
  (#eq? @name "set"))
(method_definition name: (_) @name body: (_) @body) @definition.method
; A property whose value is a function is a property to the language, no method: { foo: () => {} }
(pair key: [(property_identifier) (string) (number)] @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)
          (generator_function body: (_) @body)]) @scope.method
; Foo.prototype.bar = function () {}
((_ (assignment_expression
  left: (member_expression
    object: (member_expression object: (identifier)? @holder property: (property_identifier) @_prototype)
    property: (property_identifier) @name)
  right: [(arrow_function body: (_) @body) (function_expression body: (_) @body)
          (generator_function body: (_) @body)]) @definition.method) @whole
  (#eq? @_prototype "prototype") (#set! whole "expression_statement"))
; foo.bar = function () {}
((_ (assignment_expression
  left: (member_expression object: (identifier) @holder property: (property_identifier) @name)
  right: [(arrow_function body: (_) @body) (function_expression body: (_) @body)
          (generator_function body: (_) @body)]) @definition.function) @whole
  (#not-match? @holder "^(exports|module|self|window|global|globalThis)$")
  (#set! whole "expression_statement"))
((_ (assignment_expression
  left: [(identifier) @name (member_expression property: (property_identifier) @name)]
  right: [(arrow_function body: (_) @body) (function_expression body: (_) @body)
          (generator_function body: (_) @body)]) @definition.function) @whole
  (#set! whole "expression_statement"))
((_ (assignment_expression
  left: [(identifier) @name (member_expression property: (property_identifier) @name)]
  right: (class body: (_) @body)) @definition.class) @whole
  (#set! whole "expression_statement"))

(import_statement source: (string) @name) @definition.import
; const a = require("a"), b = require("b").c, { d } = require("d")("e")
((program (_ (variable_declarator value: [
  (call_expression function: (identifier) @_require arguments: (arguments . (string) @name .))
  (_ . (call_expression function: (identifier) @_require arguments: (arguments . (string) @name .)))])
    @definition.import) @whole)
  (#eq? @_require "require"))

; Those of a module; one under a condition is no declaration of the module.
(program [
  (lexical_declaration ["const" @constant "let"]
    (variable_declarator name: (_) @name value: (_)? @body) @definition.variable)
  (variable_declaration
    (variable_declarator name: (_) @name value: (_)? @body) @definition.variable)] @whole)
(export_statement [
  (lexical_declaration ["const" @constant "let"]
    (variable_declarator name: (_) @name value: (_)? @body) @definition.variable)
  (variable_declaration
    (variable_declarator name: (_) @name value: (_)? @body) @definition.variable)] @whole)
