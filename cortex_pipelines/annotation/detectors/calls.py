"""Unsafe or slow calls, from a table of names and arguments."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
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
    r"|[A-Z_]+|[\s,|.]|re\.[A-Z]+)+\)$"
)
_GLUED = r"\+|%|\bf[\"']|\.format\(|\$\{|\bSprintf\(|\bformat!"


@dataclass(frozen=True)
class CallRule:
    label: str
    languages: str  # its languages, separated by blanks
    callee: str  # regular expression for the callee's full name
    arguments: str = ""  # regular expression that the arguments must contain
    in_loop: bool = False  # whether it only matters in a loop


RULES = (
    CallRule("dynamic-code", "python", r"eval|exec|builtins\.(eval|exec)"),
    CallRule("dynamic-code", _SCRIPT, r"(window\.|globalThis\.)?eval|new Function"),
    CallRule("dynamic-code", "java", r"(\w*[eE]ngine)\.eval"),
    CallRule("shell-injection", "python", r"(subprocess|sp)\.\w+", r"\bshell\s*=\s*True\b"),
    CallRule("shell-injection", "python", r"os\.(system|popen)", rf"{_GLUED}|^\(\s*[a-z_]\w*\s*\)"),
    CallRule("shell-injection", _SCRIPT, r"(\w*\.)?(exec|execSync)", r"^\(\s*[^)]*(\$\{|[\"'`]\s*\+)"),
    CallRule("shell-injection", "java", r".*(Runtime|runtime|rt)\S*\.exec", r"\+"),
    CallRule("shell-injection", "go", r"exec\.Command(Context)?", r"\"(/bin/)?(ba)?sh\",\s*\"-c\""),
    CallRule("shell-injection", "rust", r"Command::new", r"^\(\s*\"(/bin/)?(ba)?sh\""),
    CallRule(
        "weak-hash",
        "python",
        r"(hashlib\.)?(md5|sha1)|hashlib\.new",
        r"^(?!.*usedforsecurity\s*=\s*False)(?!\(\s*[\"'](?!md5|sha1))",
    ),
    CallRule("weak-hash", _SCRIPT, r"(\w+\.)?createHash|\w*[cC]rypto\w*\.createHash", r"(?i)[\"'](md5|sha-?1)[\"']"),
    CallRule("weak-hash", "java", r"MessageDigest\.getInstance", r"(?i)\"(md5|sha-?1)\""),
    CallRule("weak-hash", "java", r"DigestUtils\.(md5|sha1)\w*"),
    CallRule("weak-hash", "go", r"(md5|sha1)\.(New|Sum)"),
    CallRule("weak-hash", "rust", r"(md5::compute|Md5::(new|digest)|Sha1::(new|digest))"),
    CallRule("unsafe-yaml", "python", r"yaml\.(load|load_all)", r"^(?!.*\b(Safe|CSafe|Base)Loader)"),
    CallRule("unsafe-yaml", "python", r"yaml\.(unsafe_load|full_load)(_all)?"),
    CallRule(
        "unsafe-deserialization", "python", r"(c?[pP]ickle|dill|cloudpickle|shelve|marshal)\.(loads?|open|Unpickler)"
    ),
    CallRule("unsafe-deserialization", "java", r".*\.readObject|new ObjectInputStream"),
    CallRule("unsafe-deserialization", _SCRIPT, r"(\w*[sS]erialize)\.unserialize|unserialize"),
    CallRule(
        "disabled-tls-verification",
        "python",
        r"(requests|httpx|session|self\.session|client)\.\w+|httpx\.\w*Client",
        r"\bverify\s*=\s*False\b",
    ),
    CallRule("disabled-tls-verification", "python", r"ssl\._create_unverified_context"),
    CallRule("disabled-tls-verification", "rust", r".*\.danger_accept_invalid_(certs|hostnames)", r"true"),
    CallRule("path-traversal", "python", r"open|io\.open|send_file|(\w+\.)?Path|os\.path\.join", _OUTSIDE),
    CallRule(
        "path-traversal",
        _SCRIPT,
        r"(fs\w*\.)?(promises\.)?(readFile|readFileSync|createReadStream|writeFile|unlink)|path\.(join|resolve)|res\.sendFile",
        _OUTSIDE,
    ),
    CallRule("path-traversal", "java", r"new (File|FileInputStream|FileReader)|Paths\.get|Path\.of", _OUTSIDE),
    CallRule(
        "path-traversal",
        "go",
        r"(os|ioutil)\.(Open|ReadFile|Create)|filepath\.Join|http\.ServeFile",
        r"\br(eq)?\.(URL|FormValue|Form|PostForm)\b|\bc\.(Param|Query)\(",
    ),
    CallRule("raw-html", _SCRIPT, r"document\.(write|writeln)|\w+\.insertAdjacentHTML"),
    CallRule("debug-mode", "python", r"\w*app\.run", r"\bdebug\s*=\s*True\b"),
    CallRule("insecure-temp-file", "python", r"(tempfile\.)?mktemp|os\.(tempnam|tmpnam)"),
    CallRule("regex-compile-in-loop", "python", r"re\.compile", _CONSTANT, in_loop=True),
    CallRule("regex-compile-in-loop", _SCRIPT, r"(new )?RegExp", _CONSTANT, in_loop=True),
    CallRule("regex-compile-in-loop", "java", r"Pattern\.compile", _CONSTANT, in_loop=True),
    CallRule("regex-compile-in-loop", "go", r"regexp\.(Must)?Compile(POSIX)?", _CONSTANT, in_loop=True),
    CallRule("regex-compile-in-loop", "rust", r"(regex::)?Regex::new", _CONSTANT, in_loop=True),
    CallRule(
        "query-in-loop",
        "python",
        r"(\w+\.)*(cursor|cur|conn|connection|db|database|engine|session)\.(execute|query|scalar|scalars|get|fetch\w*)|.*\.objects\.(get|filter|all|first|create)|.*\.session\.(query|execute|get)(\(.*)?",
        in_loop=True,
    ),
    CallRule(
        "query-in-loop",
        _SCRIPT,
        r"(\w+\.)*(db|pool|client|conn|connection|knex|prisma\.\w+|\w*[rR]epository|\w*Model|[A-Z]\w+)\.(query|findOne|findById|findUnique|findFirst|findMany|findBy\w+|execute)",
        in_loop=True,
    ),
    CallRule(
        "query-in-loop",
        "java",
        r"(this\.)?(\w*[rR]epository|\w*[dD]ao|jdbcTemplate|entityManager|em|session|statement|stmt|connection|conn)\.(find\w*|get\w*By\w*|query\w*|executeQuery|createQuery|prepareStatement|load|getOne|save)",
        in_loop=True,
    ),
    CallRule(
        "query-in-loop",
        "go",
        r"(\w+\.)*(db|DB|tx|conn|pool)\.(Query|QueryRow|Exec|QueryContext|QueryRowContext|ExecContext|First|Find|Get|Select)",
        in_loop=True,
    ),
    CallRule(
        "query-in-loop", "rust", r"(?s)sqlx::query\w*|.*\.(query_one|query_opt|fetch_one|query_row)", in_loop=True
    ),
)


@detector(
    *{rule.label for rule in RULES},
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
    for rule, callee, arguments in _rules(context.language):
        if (rule.in_loop and not visit.loops) or not callee.fullmatch(name):
            continue
        if arguments.search(normalized_text(child(visit.node, "arguments"))):
            yield evidence(rule.label, visit.node)


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
def _rules(language: str) -> list[tuple[CallRule, re.Pattern[str], re.Pattern[str]]]:
    rules = [rule for rule in RULES if language in rule.languages.split()]
    return [(rule, re.compile(rule.callee), re.compile(rule.arguments)) for rule in rules]
