"""Texts that cost a parser, a query or a walk more than their length, made to any size."""

from collections.abc import Callable, Mapping

from cortex_pipelines.syntax.grammars import GRAMMARS

Shape = Callable[[int], str]
"""Makes a text of about so many bytes."""

LANGUAGES = tuple(sorted({grammar.language for grammar in GRAMMARS}))


def repeated(part: str, before: str = "", after: str = "") -> Shape:
    """One part over and over."""
    return lambda size: before + part * (size // len(part)) + after


def nested(opening: str, closing: str, inside: str = "", before: str = "") -> Shape:
    """One construct in itself, closed again."""

    def text(size: int) -> str:
        levels = size // (len(opening) + len(closing))
        return before + opening * levels + inside + closing * levels

    return text


def numbered(part: str, before: str = "", after: str = "", between: str = ",") -> Shape:
    """A part with a number of its own each time, in place of ``%``."""

    def text(size: int) -> str:
        parts, length = [], 0
        while length < size:
            parts.append(part.replace("%", str(len(parts))))
            length += len(parts[-1]) + len(between)
        return before + between.join(parts) + after

    return text


# In every language, whether they mean anything in it or not: an error is an attack too.
_EVERYWHERE: Mapping[str, Shape] = {
    "open parentheses": repeated("("),
    "closed parentheses": nested("(", ")", "x"),
    "open brackets": repeated("["),
    "open braces": repeated("{"),
    "only closing": repeated(")]}"),
    "all brackets": repeated("([{<"),
    "open type arguments": repeated("List<"),
    "mixed type arguments": repeated("T<T<T<x>,"),
    "comparisons": repeated("a<b>(c)<"),
    "chain of calls": repeated(".b()", "x"),
    "chain of members": repeated(".b", "x"),
    "calls of calls": repeated("()", "f"),
    "calls in calls": nested("f(", ")", "x"),
    "sum": repeated("+a", "a"),
    "negations": repeated("!", after="a"),
    "minus": repeated("- ", after="a"),
    "commas": repeated("a,"),
    "raw strings": repeated('r#"'),
    "quotes": repeated("\"'"),
    "backticks": repeated("`${"),
    "comments": repeated("/*"),
    "line comments": repeated("# a\n// b\n"),
    "names": numbered("a%", between=" "),
    "one name": repeated("a"),
    "arrows": repeated("a=>"),
    "ternaries": repeated("a?b:"),
    "attributes": repeated("@a\n"),
}
_OF_LANGUAGE: Mapping[str, Mapping[str, Shape]] = {
    "python": {
        "targets": numbered("a%", after=" = x"),
        "chained assignments": repeated("a = ", after="1"),
        "lambdas": repeated("lambda:", after="x"),
        "functions": numbered("def f%(): pass\n", between=""),
        "decorators": repeated("@a\n", after="def f(): pass\n"),
        "statements on a line": repeated("a=1;"),
        "conditions": repeated("elif a: b\n", "if a: b\n"),
    },
    "javascript": {
        "declarations": numbered("a%=%", "var "),
        "pattern": numbered("a%", "let [", "] = b"),
        "functions in functions": nested("function a(){", "}"),
        "elements": repeated("<a>"),
        "promises": repeated(".then(a => {", "x"),
        "alternatives": repeated("else if(a){}", "if(a){}"),
    },
    "typescript": {
        "declarations": numbered("a%:T=%", "let "),
        "types": numbered("'a%'", "type T = ", between="|"),
        "generics in generics": nested("A<", ">", "x", "let a: "),
        "conditional types": repeated("A extends B ? C : ", "type T = ", "D"),
        "classes in classes": nested("class A { a = ", "}"),
        "casts": repeated("<T>", after="x"),
    },
    "java": {
        "fields": numbered("a%", "class A { int ", "; }"),
        "classes in classes": nested("class A{", "}"),
        "casts": repeated("(A)", "class A { int a = ", "b; }"),
        "generics in a class": repeated("List<", "class A { "),
        "switches": repeated("case 1: ", "class A { void f() { switch(a) {", "}}}"),
        "builders": repeated(".a(b)", "class A { A a = x", "; }"),
    },
    "go": {
        "variables": numbered("a%", "package a\nvar ", " int\n"),
        "open variables": numbered("a%", "package a\nvar "),
        "constants": numbered("a%", "package a\nconst (\n", "\n)\n", "\n"),
        "parameters": numbered("a%", "package a\nfunc f(", " int) {}\n"),
        "pointers": repeated("*", "package a\nvar a ", "int\n"),
        "functions in functions": nested("func(){", "}", before="package a\nvar a = "),
    },
    "rust": {
        "closed raw strings": repeated('r#"a"#;', "fn f() {", "}"),
        "modules in modules": nested("mod a{", "}", "fn f(){}"),
        "generics": nested("A<", ">", "u8", "type A = "),
        "attributes of Rust": repeated("#[a]\n", after="fn f(){}"),
        "token trees": nested("m!(", ")"),
        "matches": nested("match a { _ => ", "}", "1"),
    },
}

BOMBS: tuple[tuple[str, str, Shape], ...] = tuple(
    (language, name, shape) for language in LANGUAGES for name, shape in (_EVERYWHERE | _OF_LANGUAGE[language]).items()
)
"""Language, name and shape of each."""
