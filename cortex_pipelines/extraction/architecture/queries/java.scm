; What in Java code says something about the architecture.

(package_declaration) @package
(import_declaration) @import
[(class_declaration) (interface_declaration) (record_declaration)] @class
