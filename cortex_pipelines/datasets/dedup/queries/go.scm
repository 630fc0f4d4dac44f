; what a formatter may change: comments and optional signs
(comment) @drop
";" @drop
[(interpreted_string_literal) (raw_string_literal) (rune_literal)] @string
[(int_literal) (float_literal) (imaginary_literal)] @number
(parenthesized_expression) @parens
