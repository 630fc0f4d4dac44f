; what a formatter may change: comments and optional signs
[(line_comment) (block_comment)] @drop
";" @drop
[(string_literal) (character_literal)] @string
[
  (decimal_integer_literal)
  (hex_integer_literal)
  (octal_integer_literal)
  (binary_integer_literal)
  (decimal_floating_point_literal)
  (hex_floating_point_literal)
] @number
(parenthesized_expression) @parens
