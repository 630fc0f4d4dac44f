"""Headers and signatures on one line."""

import re

# The members of a type in TypeScript may be parted by line ends alone; Rust's bounds have a colon too.
_NEXT_MEMBER = re.compile(r"""(?<=[\w\])}>"'])(?<!\bwhere)[ \t]*+\n\s*+(?=(?:readonly )?[\w$"'\[\]-]+\??:(?!:))""")


def on_one_line(code: str) -> str:
    """Code of a header with single spaces, and semicolons in place of the line ends that part."""
    return " ".join(_NEXT_MEMBER.sub("; ", code).split())
