; what a formatter may change: comments, quotes, optional signs
[(comment) (html_comment)] @drop
";" @drop
(interface_body "," @drop)
(object_type "," @drop)
(union_type . "|" @drop)
(intersection_type . "&" @drop)
[(string) (template_string)] @string
(number) @number
(regex) @verbatim
(parenthesized_expression) @parens
(binary_expression [left: (binary_expression) right: (binary_expression)] @group)
(pair key: (string) @key)
(property_signature name: (string) @key)
(new_expression !arguments) @call
(arrow_function
  parameters: (formal_parameters
    "(" @drop . (required_parameter pattern: (identifier) !type !value) . ")" @drop))
