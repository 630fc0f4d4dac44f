; what a formatter may change: comments, quotes, optional signs
[(comment) (html_comment)] @drop
(jsx_expression . "{" @drop . (comment) . "}" @drop .)
";" @drop
[(string) (template_string)] @string
(number) @number
[(regex) (jsx_text)] @verbatim
(parenthesized_expression) @parens
(binary_expression [left: (binary_expression) right: (binary_expression)] @group)
(pair key: (string) @key)
(new_expression !arguments) @call
(arrow_function parameters: (formal_parameters "(" @drop . (identifier) . ")" @drop))
