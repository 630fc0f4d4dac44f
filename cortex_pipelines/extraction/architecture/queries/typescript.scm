; What in TypeScript code alone says something about the architecture.

; inherits: ecmascript
(import_require_clause (string)) @import
[(class_declaration) (abstract_class_declaration)] @class
