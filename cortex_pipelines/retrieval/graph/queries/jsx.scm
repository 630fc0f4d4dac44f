; What JSX refers to: a component in it is called; a small letter begins an element of the page.

([(jsx_opening_element name: (identifier) @call) (jsx_self_closing_element name: (identifier) @call)]
  (#match? @call "^[A-Z]"))
(jsx_opening_element name: (member_expression) @member)
(jsx_self_closing_element name: (member_expression) @member)

(jsx_attribute (jsx_expression [(identifier) (member_expression)] @passed))
