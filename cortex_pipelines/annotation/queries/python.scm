; Parameters and evidence of labels in Python. The captures' meaning: marks.py.

(parameters (_) @parameter)
(parameters [(keyword_separator) (positional_separator) (comment)] @receiver)
((parameters . (identifier) @receiver) (#any-of? @receiver "self" "cls" "mcs"))

(except_clause (block . [(pass_statement) (expression_statement (ellipsis))] .))
  @found.swallowed-exception
[(default_parameter value: [(list) (dictionary) (set) (list_comprehension)])
 (typed_default_parameter value: [(list) (dictionary) (set) (list_comprehension)])]
  @found.mutable-default
(default_parameter value: (call function: (identifier) @_name arguments: (argument_list "(" . ")"))
  (#any-of? @_name "list" "dict" "set")) @found.mutable-default
(typed_default_parameter value: (call function: (identifier) @_name
  arguments: (argument_list "(" . ")")) (#any-of? @_name "list" "dict" "set")) @found.mutable-default
(global_statement) @found.global-state
(wildcard_import) @found.wildcard-import
((comparison_operator operators: ["==" "!="] (none)) @found.none-by-equality)

((function_definition name: (identifier) @_name) @found.context-manager
  (#any-of? @_name "__enter__" "__aenter__"))
(decorator [(identifier) @_name (attribute attribute: (identifier) @_name)]
  (#any-of? @_name "contextmanager" "asynccontextmanager")) @found.context-manager
((function_definition name: (identifier) @_name) @found.iterator
  (#any-of? @_name "__next__" "__anext__"))
(yield) @found.generator
((function_definition name: (identifier) @_name) @found.descriptor
  (#any-of? @_name "__get__" "__set__"))
(decorator [(identifier) @_name (call function: (identifier) @_name)
    (call function: (attribute attribute: (identifier) @_name))]
  (#eq? @_name "wraps")) @found.decorator
(decorator [(identifier) @_name (attribute attribute: (identifier) @_name)
    (call function: [(identifier) @_name (attribute attribute: (identifier) @_name)])]
  (#any-of? @_name "cache" "lru_cache" "cached_property")) @found.memoisation
(decorator [(identifier) @_name (attribute attribute: (identifier) @_name)
    (call function: [(identifier) @_name (attribute attribute: (identifier) @_name)])]
  (#eq? @_name "dataclass")) @found.value-object
(decorator [(identifier) @_name (attribute attribute: (identifier) @_name)]
  (#eq? @_name "abstractmethod")) @found.template-method
(decorator [(identifier) @_name (call function: [(identifier) @_name
    (attribute attribute: (identifier) @_name)])]
  (#eq? @_name "singledispatch")) @found.dispatch
(await) @found.async-await
(not_operator argument: (comparison_operator operators: ["in" "is"])) @found.negated-operator
((comparison_operator . (call function: (identifier) @_name) operators: ["==" "!="])
  (#eq? @_name "type")) @found.type-by-equality
((function_definition name: (identifier) @_name body: (block
  (return_statement (call function: [(identifier) @_made (attribute attribute: (identifier) @_made)]))))
  (#match? @_name "^_?(create|make|build|new|get|from)_") (#match? @_made "^[A-Z][a-z]"))
  @found.factory
((function_definition name: (identifier) @_name body: (block (_ (block
  (return_statement (call function: [(identifier) @_made (attribute attribute: (identifier) @_made)]))))))
  (#match? @_name "^_?(create|make|build|new)_") (#match? @_made "^[A-Z][a-z]"))
  @found.factory
(function_definition parameters: (parameters [
  (default_parameter value: (call function: (identifier) @_name))
  (typed_default_parameter value: (call function: (identifier) @_name))] @found.dependency-injection)
  (#eq? @_name "Depends"))
((class_definition superclasses: (argument_list [(identifier) @_name
    (attribute attribute: (identifier) @_name)])) @found.value-object
  (#any-of? @_name "NamedTuple" "TypedDict"))
((assignment left: (attribute object: (identifier) attribute: (identifier) @_field)
  right: (identifier)) @found.strategy (#match? @_field "strategy$"))
