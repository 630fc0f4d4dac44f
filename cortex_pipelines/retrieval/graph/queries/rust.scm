; What refers to what in Rust code. The first capture names the kind; references.py.

(use_declaration) @import
(extern_crate_declaration) @import
(mod_item) @mod
(scoped_identifier) @path
(scoped_type_identifier) @path
(call_expression function: [
  (identifier) @call
  (generic_function function: (identifier) @call)])
(call_expression function: [
  (scoped_identifier) @member
  (field_expression) @member
  (generic_function function: [(scoped_identifier) @member (field_expression) @member])])
(struct_expression name: [(type_identifier) @call (scoped_type_identifier) @member])

(impl_item trait: (_) @_type type: (_) @implemented)
(trait_item bounds: (trait_bounds [(type_identifier) (scoped_type_identifier)] @base))

(parameter pattern: (identifier) @variable type: (_) @_type)
(let_declaration pattern: (identifier) @variable type: (_) @_type)
(let_declaration pattern: (identifier) @variable value: [
  (call_expression function: (_) @_made)
  (await_expression (call_expression function: (_) @_made))
  (try_expression (call_expression function: (_) @_made))
  (try_expression (await_expression (call_expression function: (_) @_made)))])
([
  (let_condition pattern: (tuple_struct_pattern type: (identifier) @_case . (identifier) @variable) value: [
    (call_expression function: (_) @_made)
    (await_expression (call_expression function: (_) @_made))
    (try_expression (call_expression function: (_) @_made))
    (try_expression (await_expression (call_expression function: (_) @_made)))])
  (let_declaration pattern: (tuple_struct_pattern type: (identifier) @_case . (identifier) @variable) value: [
    (call_expression function: (_) @_made)
    (await_expression (call_expression function: (_) @_made))
    (try_expression (call_expression function: (_) @_made))
    (try_expression (await_expression (call_expression function: (_) @_made)))])]
 (#any-of? @_case "Ok" "Some"))
(let_declaration pattern: (identifier) @variable value: (struct_expression name: (_) @_type))
(field_declaration name: (field_identifier) @field type: (_) @_type)
(token_tree (identifier) @macro . (token_tree))
(closure_expression parameters: (closure_parameters [(identifier) @closure (parameter pattern: (identifier) @closure)]))

(arguments [(identifier) (scoped_identifier)] @passed)
(field_initializer value: [(identifier) (scoped_identifier)] @passed)

(let_declaration pattern: (_ (identifier) @local))
(let_declaration pattern: (identifier) @local)
(let_condition pattern: (_ (identifier) @local))
(match_pattern (_ (identifier) @local))
(for_expression pattern: (_) @local)
