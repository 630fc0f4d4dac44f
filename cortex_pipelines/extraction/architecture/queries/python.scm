; What in Python code says something about the architecture. The first capture names the kind.

(import_statement) @import
(import_from_statement) @import
(decorated_definition) @decorated
(class_definition) @class
(assignment right: (call)) @assigned
(module (expression_statement (assignment right: (string)) @constant))
((assignment left: (identifier) @_name right: [(list) (binary_operator)]) @patterns
  (#eq? @_name "urlpatterns"))
(augmented_assignment left: (identifier) @_name (#eq? @_name "urlpatterns")) @patterns
((call function: (attribute attribute: (identifier) @_name)) @call
  (#any-of? @_name "include_router" "register_blueprint" "add_url_rule" "add_api_route"
    "add_resource" "mount" "register" "add_get" "add_post" "add_put" "add_delete" "add_patch"
    "add_route" "add_api_websocket_route"))
((call function: [(identifier) @_name (attribute attribute: (identifier) @_name)]) @setup
  (#eq? @_name "setup"))
