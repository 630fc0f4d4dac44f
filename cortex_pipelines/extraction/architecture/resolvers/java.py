"""Resolve Java imports."""

from cortex_pipelines.extraction.architecture.resolvers.index import (
    EXTERNAL,
    INTERNAL,
    STANDARD,
    Import,
    ImportTarget,
    SourceIndex,
    nearest,
)

LANGUAGES = ("java",)

# Packages of the JDK (docs.oracle.com, Java SE 21, all modules); other javax ones are libraries.
_JDK = ("java", "jdk", "sun", "com.sun", "org.w3c.dom", "org.xml.sax", "org.ietf.jgss")
_JAVAX = frozenset(
    [
        "accessibility",
        "annotation.processing",
        "crypto",
        "imageio",
        "lang.model",
        "management",
        "naming",
        "net",
        "print",
        "rmi",
        "script",
        "security",
        "smartcardio",
        "sound",
        "sql",
        "swing",
        "tools",
        "transaction.xa",
        "xml.catalog",
        "xml.crypto",
        "xml.datatype",
        "xml.namespace",
        "xml.parsers",
        "xml.stream",
        "xml.transform",
        "xml.validation",
        "xml.xpath",
        "xml",
    ]
)


def resolve(index: SourceIndex, imported: Import) -> list[ImportTarget]:
    """The file of the type, the folder of the package, or the package's name."""
    words = imported.module.split(".")
    for end in range(len(words), 0, -1):
        name = ".".join(words[:end])
        file = nearest(imported.path, index.java_types.get(name, ()))
        if file is not None:
            return [ImportTarget(file, INTERNAL, words[-1], words[-1])]
        folder = nearest(imported.path, index.java_packages.get(name, ()))
        if folder is not None and words[end:] == ["*"]:
            return [ImportTarget(folder, INTERNAL)]
    package = _package(words)
    return [ImportTarget(package, STANDARD if _is_standard(package) else EXTERNAL)]


def _package(words: list[str]) -> str:
    end = next((index for index, word in enumerate(words) if word[:1].isupper() or word == "*"), None)
    return ".".join(words[:end] or words[:1])


def _is_standard(package: str) -> bool:
    if package.startswith("javax."):
        subpackage = package.removeprefix("javax.")
        return any(subpackage == name or subpackage.startswith(name + ".") for name in _JAVAX - {"xml"}) or (
            subpackage == "xml"
        )
    return any(package == name or package.startswith(name + ".") for name in _JDK)
