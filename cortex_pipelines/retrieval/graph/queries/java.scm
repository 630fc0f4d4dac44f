; What refers to what in Java code. The first capture names the kind; references.py.

(package_declaration) @package
(import_declaration) @import
(method_invocation) @member
(object_creation_expression type: (_) @call)

(superclass (_) @base)
(super_interfaces (type_list (_) @base))
(extends_interfaces (type_list (_) @base))

(formal_parameter type: (_) @_type name: (identifier) @variable)
(local_variable_declaration type: (_) @_type declarator: (variable_declarator
  name: (identifier) @variable))
(local_variable_declaration declarator: (variable_declarator name: (identifier) @variable
  value: (object_creation_expression type: (_) @_type)))
(enhanced_for_statement type: (_) @_type name: (identifier) @variable)
(resource type: (_) @_type name: (identifier) @variable)
(field_declaration type: (_) @_type declarator: (variable_declarator name: (identifier) @field))

(method_reference) @passed
