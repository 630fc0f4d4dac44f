; What in JavaScript code alone says something about the architecture.

; inherits: ecmascript
(class_declaration) @class
