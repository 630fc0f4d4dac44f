"""Unsafe or slow calls, from a table of names and arguments."""

import re
from collections.abc import Iterator
from functools import cache

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import child, normalized_text
from cortex_pipelines.annotation.complexity.treewalk import NodeVisit
from cortex_pipelines.annotation.detector import Evidence, FileContext, detector, evidence

_SCRIPT = "javascript typescript"
_OUTSIDE = r"\b(request|req|ctx)\b\s*[.\[]|\bparams\s*[.\[]|\bargv\b|\bgetParameter\(|\bFormValue\("
# Arguments without a name in lower case that might change from round to round.
_CONSTANT = (
    r"^\(\s*(?:[rRbBuU]?(?:\"[^\"{]*\"|'[^'{]*'|`(?:[^`$]|\$(?!\{))*`|#\"[^\"]*\"#)"
    r"|[A-Z_]+|[\s,|.]|re\.[A-Z]+)++\)$"
)
_GLUED = r"\+|%|\bf[\"']|\.format\(|\$\{|\bSprintf\(|\bformat!"


CALLS: dict[str, tuple[tuple[str, ...], ...]] = {
    "dynamic-code": (
        ("python", r"eval|exec|builtins\.(eval|exec)"),
        (_SCRIPT, r"(window\.|globalThis\.)?eval|new Function"),
        ("java", r"(\w*[eE]ngine)\.eval"),
    ),
    "shell-injection": (
        ("python", r"(subprocess|sp)\.\w+", r"\bshell\s*=\s*True\b"),
        ("python", r"os\.(system|popen)", rf"{_GLUED}|^\(\s*[a-z_]\w*\s*\)"),
        (_SCRIPT, r"(\w*\.)?(exec|execSync)", r"^\(\s*[^)]*(\$\{|[\"'`]\s*\+)"),
        ("java", r".*(Runtime|runtime|rt)\S*\.exec", r"\+"),
        ("go", r"exec\.Command(Context)?", r"\"(/bin/)?(ba)?sh\",\s*\"-c\""),
        ("rust", r"Command::new", r"^\(\s*\"(/bin/)?(ba)?sh\""),
    ),
    "weak-hash": (
        (
            "python",
            r"(hashlib\.)?(md5|sha1)|hashlib\.new",
            r"^(?!.*usedforsecurity\s*=\s*False)(?!\(\s*[\"'](?!md5|sha1))",
        ),
        (_SCRIPT, r"(\w+\.)?createHash|\w*[cC]rypto\w*\.createHash", r"(?i)[\"'](md5|sha-?1)[\"']"),
        ("java", r"MessageDigest\.getInstance", r"(?i)\"(md5|sha-?1)\""),
        ("java", r"DigestUtils\.(md5|sha1)\w*"),
        ("go", r"(md5|sha1)\.(New|Sum)"),
        ("rust", r"(md5::compute|Md5::(new|digest)|Sha1::(new|digest))"),
    ),
    "unsafe-yaml": (
        ("python", r"yaml\.(load|load_all)", r"^(?!.*\b(Safe|CSafe|Base)Loader)"),
        ("python", r"yaml\.(unsafe_load|full_load)(_all)?"),
    ),
    "unsafe-deserialization": (
        ("python", r"(c?[pP]ickle|dill|cloudpickle|shelve|marshal)\.(loads?|open|Unpickler)"),
        ("java", r".*\.readObject|new ObjectInputStream"),
        (_SCRIPT, r"(\w*[sS]erialize)\.unserialize|unserialize"),
    ),
    "disabled-tls-verification": (
        ("python", r"(requests|httpx|session|self\.session|client)\.\w+|httpx\.\w*Client", r"\bverify\s*=\s*False\b"),
        ("python", r"ssl\._create_unverified_context"),
        ("rust", r".*\.danger_accept_invalid_(certs|hostnames)", r"true"),
    ),
    "path-traversal": (
        ("python", r"open|io\.open|send_file|(\w+\.)?Path|os\.path\.join", _OUTSIDE),
        (
            _SCRIPT,
            r"(fs\w*\.)?(promises\.)?(readFile|readFileSync|createReadStream|writeFile|unlink)|path\.(join|resolve)|res\.sendFile",
            _OUTSIDE,
        ),
        ("java", r"new (File|FileInputStream|FileReader)|Paths\.get|Path\.of", _OUTSIDE),
        (
            "go",
            r"(os|ioutil)\.(Open|ReadFile|Create)|filepath\.Join|http\.ServeFile",
            r"\br(eq)?\.(URL|FormValue|Form|PostForm)\b|\bc\.(Param|Query)\(",
        ),
    ),
    "raw-html": ((_SCRIPT, r"document\.(write|writeln)|\w+\.insertAdjacentHTML"),),
    "debug-mode": (("python", r"\w*app\.run", r"\bdebug\s*=\s*True\b"),),
    "insecure-temp-file": (("python", r"(tempfile\.)?mktemp|os\.(tempnam|tmpnam)"),),
    "regex-compile-in-loop": (
        ("python", r"re\.compile", _CONSTANT),
        (_SCRIPT, r"(new )?RegExp", _CONSTANT),
        ("java", r"Pattern\.compile", _CONSTANT),
        ("go", r"regexp\.(Must)?Compile(POSIX)?", _CONSTANT),
        ("rust", r"(regex::)?Regex::new", _CONSTANT),
    ),
    "query-in-loop": (
        (
            "python",
            r"(\w+\.)*(cursor|cur|conn|connection|db|database|engine|session)\.(execute|query|scalar|scalars|get|fetch\w*)|.*\.objects\.(get|filter|all|first|create)|.*\.session\.(query|execute|get)(\(.*)?",
        ),
        (
            _SCRIPT,
            r"(\w+\.)*(db|pool|client|conn|connection|knex|prisma\.\w+|\w*[rR]epository|\w*Model|[A-Z]\w+)\.(query|findOne|findById|findUnique|findFirst|findMany|findBy\w+|execute)",
        ),
        (
            "java",
            r"(this\.)?(\w*[rR]epository|\w*[dD]ao|jdbcTemplate|entityManager|em|session|statement|stmt|connection|conn)\.(find\w*|get\w*By\w*|query\w*|executeQuery|createQuery|prepareStatement|load|getOne|save)",
        ),
        (
            "go",
            r"(\w+\.)*(db|DB|tx|conn|pool)\.(Query|QueryRow|Exec|QueryContext|QueryRowContext|ExecContext|First|Find|Get|Select)",
        ),
        ("rust", r"(?s)sqlx::query\w*|.*\.(query_one|query_opt|fetch_one|query_row)"),
    ),
}
"""Of each label: languages, separated by blanks; a regular expression for the callee's full name, and one that the
arguments must contain. What is wrong in a loop only has a label that says so."""


@detector(
    *CALLS,
    python="call",
    script="call_expression new_expression",
    java="method_invocation object_creation_expression",
    go="call_expression",
    rust="call_expression",
)
def unsafe_calls(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    name = called(visit.node)
    if not name or len(name) > 200:
        return
    for label, callee, arguments in _rules(context.language):
        if (label.endswith("-in-loop") and not visit.loops) or not callee.fullmatch(name):
            continue
        if arguments.search(normalized_text(child(visit.node, "arguments"))):
            yield evidence(label, visit.node)


def called(call: Node) -> str:
    """Qualified name of a called function, prefixed by ``new`` for constructors; empty if long."""
    constructor = child(call, "constructor", "type")
    if constructor is not None and call.type in ("new_expression", "object_creation_expression"):
        return f"new {normalized_text(constructor)}"
    name_node = child(call, "name")
    if name_node is None:
        return normalized_text(child(call, "function"))
    owner = child(call, "object")
    return f"{normalized_text(owner)}.{normalized_text(name_node)}" if owner is not None else normalized_text(name_node)


@cache
def _rules(language: str) -> list[tuple[str, re.Pattern[str], re.Pattern[str]]]:
    return [
        (label, re.compile(callee), re.compile("".join(arguments)))
        for label, calls in CALLS.items()
        for languages, callee, *arguments in calls
        if language in languages.split()
    ]
