; what a formatter may change: comments and optional signs
[(line_comment) (block_comment)] @drop
(empty_statement) @drop
(expression_statement
  [(return_expression) (break_expression) (continue_expression)]
  ";" @drop)
(match_arm "," @drop)
(match_arm value: (block) @braces)
(closure_expression body: (block) @braces)
(where_clause "," @drop .)
(use_list . "{" @drop . (_) . "}" @drop .)
[(string_literal) (raw_string_literal) (char_literal)] @string
[(integer_literal) (float_literal)] @number
(parenthesized_expression) @parens
(tuple_expression . "(" . (_) . "," @needed . ")")
(tuple_pattern . "(" . (_) . "," @needed . ")")
(tuple_type . "(" . (_) . "," @needed . ")")
