; What refers to what in TSX.
; inherits: typescript
; inherits: jsx
