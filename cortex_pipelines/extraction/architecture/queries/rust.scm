; What in Rust code says something about the architecture.

(use_declaration) @import
(extern_crate_declaration) @import
(mod_item) @mod
(scoped_identifier) @path
(scoped_type_identifier) @path
((attribute_item (attribute [(identifier) @_name (scoped_identifier name: (identifier) @_name)]))
  @attribute
  (#any-of? @_name "get" "post" "put" "patch" "delete" "head" "options" "route" "connect" "trace"
    "diesel" "sea_orm" "table_name"))
((call_expression function: (field_expression field: (field_identifier) @_name)) @call
  (#any-of? @_name "route" "nest" "service" "mount" "at" "merge" "configure" "nest_service"))
((macro_invocation macro: [(identifier) @_name (scoped_identifier name: (identifier) @_name)])
  @macro (#any-of? @_name "table"))
