; What refers to what in Python code. The first capture names the kind; references.py.

(import_statement) @import
(import_from_statement) @import
(call function: (identifier) @call)
(call function: (attribute) @member)
(decorator [(identifier) @call (attribute) @member])
(class_definition superclasses: (argument_list [(identifier) (attribute) (subscript)] @base))

(parameters [(identifier) @variable (default_parameter name: (identifier) @variable)])
(typed_parameter . (identifier) @variable type: (type) @_type)
(typed_default_parameter name: (identifier) @variable type: (type) @_type)
(assignment left: [(identifier) (attribute)] @variable type: (type) @_type)
(assignment left: [(identifier) (attribute)] @variable right: (call function: (_) @_made))
(as_pattern (call function: (_) @_made) alias: (as_pattern_target (identifier) @variable))
(for_statement left: (identifier) @variable)

(decorator [(identifier) @decorator (attribute) @decorator (call function: (_) @decorator)])
(attribute) @read
(assignment left: (attribute) @write)
(return_statement (_) @result)
(yield (_) @yield)
(lambda parameters: (lambda_parameters (identifier) @closure))

(argument_list [(identifier) (attribute)] @passed)
(keyword_argument value: [(identifier) (attribute)] @passed)
(pair value: [(identifier) (attribute)] @passed)
(list [(identifier) (attribute)] @passed)
(tuple [(identifier) (attribute)] @passed)
(assignment right: [(identifier) (attribute)] @passed)

(assignment left: [(identifier) @local (pattern_list (identifier) @local)])
(for_statement left: [(identifier) @local (pattern_list (identifier) @local)])
(for_in_clause left: [(identifier) @local (pattern_list (identifier) @local)])
(named_expression name: (identifier) @local)
(as_pattern alias: (as_pattern_target (identifier) @local))
(default_parameter name: (identifier) @local)
