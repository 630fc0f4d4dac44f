; what a formatter may change: comments, docstrings, quotes, optional signs
[(comment) (line_continuation)] @drop
(expression_statement . [(string) (concatenated_string)] @drop .)
";" @drop
(string) @string
[(integer) (float)] @number
(parenthesized_expression) @parens
(import_from_statement ["(" ")"] @drop)
(with_clause ["(" ")"] @drop)
(class_definition superclasses: (argument_list . "(" @drop . ")" @drop .))
(for_statement left: (tuple_pattern ["(" ")"] @drop))
(for_in_clause left: (tuple_pattern ["(" ")"] @drop))
(assignment left: (tuple_pattern ["(" ")"] @drop))
(assignment right: (tuple ["(" ")"] @drop))
(return_statement (tuple ["(" ")"] @drop))
(delete_statement (tuple ["(" ")"] @drop))
(tuple . "(" . (_) . "," @needed . ")")
