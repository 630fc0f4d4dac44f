"""Categorise units by weak labelling rules.

Each matching rule is evidence with a weight; evidence for one category combines like independent probabilities, 1 -
(1 - a)(1 - b). The weights are estimates of how often a rule is right, not measurements; the label's source is
``rule``. A rule on the words of a name also applies, with less weight, to the unit's documentation and location.
"""

from dataclasses import dataclass

import polars as pl

from cortex_pipelines.extraction.test_cases import TEST_PATH

_NETWORK = (
    r"\b(requests|httpx|urllib|aiohttp|axios|reqwest)\b[.:]|\bfetch\(|\bsocket\.|net\.(Listen|Dial)"
    r"|http\.(Get|Post|Client)|https?\.(request|get|Agent)|HttpClient|client\.(get|post)\("
)
_FILES = (
    r"\bopen\(|\bfs\.\w+|\bos\.(path|remove|mkdir|makedirs|listdir|Open|ReadFile|Create|Remove)\b"
    r"|\bFiles\.\w+|\bfs::|\bPath\(|shutil\.|\.read_text\(|\.write_text\(|read_to_string"
)
_FORMS = (
    r"\bpickle\.|json\.(dumps?|loads?|Marshal|Unmarshal)|JSON\.(parse|stringify)|ObjectInputStream"
    r"|writeValueAsString|\bserde_\w+::|\byaml\.\w*(load|dump)"
)
_READING = (
    r"\bre\.(compile|match|search|findall|split|sub)\(|new RegExp|Pattern\.compile|regexp\."
    r"|Regex::new"
)
_REFUSING = (
    r"if [^\n]*\n?\s*(raise (Value|Type)Error|throw new (IllegalArgument|Range|Type)"
    r"|return (errors\.New|fmt\.Errorf|Err\())"
)
_CALCULATING = r"\b(sum|min|max|abs|sqrt|round|Math\.\w+)\(|[\w)]\s[*/]\s[\w(.]|\*\*"
_WRITING = r"\bf[\"'][^\n]*\{|\.format\(|\.join\(|toFixed\(|strftime|Sprintf\(|format!\("
_SCRIPT = r"\.[cm]?[jt]sx?$"


@dataclass(frozen=True)
class LabellingRule:
    category: str
    weight: float  # probability that the category is right where the rule holds
    # column to the regular expression that it must contain; all must hold. Besides the columns `words` (of the name,
    # in lower case, joined by blanks), `head` (code before the body), `imports` (of the file, one a line) and
    # `labels` (of its patterns and smells, joined by blanks)
    where: dict[str, str]


def _rule(category: str, weight: float, **where: str) -> LabellingRule:
    return LabellingRule(category, weight, where)


RULES = (
    _rule("test-case", 0.9, words=r"^test\b", kind="function|method|class"),
    _rule("test-case", 0.95, head=r"@(Test|ParameterizedTest|pytest\.)|#\[(\w+::)?test\]"),
    _rule("test-case", 0.85, path=TEST_PATH),
    _rule("dependency", 0.95, kind="^import$"),
    _rule(
        "authentication",
        0.8,
        words=r"\b(auth|authenticat\w+|authoriz\w+|log ?in|log ?out|sign ?in|sign ?up|oauth"
        r"|jwt|passwords?|credentials?|access token|permissions?|(is|not) (allowed|admin))\b",
    ),
    _rule("authentication", 0.5, path=r"(^|[/_.-])(auth\w*|login|oauth2?|session)([/_.-]|$)"),
    _rule("authentication", 0.3, imports=r"(?m)^(jwt|passlib|oauthlib|authlib|bcrypt|passport)"),
    _rule("cryptography", 0.75, words=r"\b(sign \w+|sign(er|ature)|unsign|encrypt|decrypt|cipher|hmac|digest|salt)\b"),
    _rule(
        "cryptography",
        0.6,
        code=r"\b(hashlib|hmac)\.|\b(md5|sha1|sha256|aes|rsa|bcrypt)\.\w+\(|createHash\("
        r"|MessageDigest|\bCipher\b|(Md5|Sha\d+)::",
    ),
    _rule(
        "api-endpoint",
        0.95,
        head=r"@\w+(\.\w+)*\.(route|get|post|put|patch|delete)\("
        r"|@(Get|Post|Put|Delete|Patch|Request)Mapping|#\[(get|post|put|patch|delete)\(",
    ),
    _rule("api-endpoint", 0.9, head=r"http\.(ResponseWriter|Handler)|HttpServletRequest|HttpRequest\b"),
    _rule("api-endpoint", 0.6, words=r"\b(controller|endpoint|router|view ?set|middleware)\b"),
    _rule("api-endpoint", 0.4, path=r"(^|/)((routes?|controllers?|endpoints?)[/.]|views([/.].*)?\.py$)"),
    _rule(
        "database-query",
        0.85,
        code=r"\b(SELECT\s[^;]{1,200}\sFROM|INSERT\s+INTO|DELETE\s+FROM|CREATE\s+TABLE"
        r"|UPDATE\s+\w+\s+SET)\b",
    ),
    _rule("database-query", 0.5, code=r"\.(executemany|fetchall|fetchone|prepareStatement)\("),
    _rule("data-access", 0.6, words=r"\b(repository|dao|store|storage|persist|database|db)\b"),
    _rule("data-access", 0.4, path=r"(^|/)(models?|repositor(y|ies)|dao|db|storage)[/.]"),
    _rule("data-access", 0.3, imports=r"(?m)^(sqlalchemy|django\.db|psycopg|sqlx|diesel|gorm|typeorm|java\.sql)"),
    _rule("react-component", 0.95, path=_SCRIPT, name=r"^([A-Z]|default$)", code=r"(return|=>)\s*\(?\s*<[A-Za-z>]"),
    _rule("react-component", 0.95, path=_SCRIPT, head=r"extends\s+(React\.)?(Pure)?Component"),
    _rule("configuration", 0.65, words=r"\b(config\w*|settings?|options?|preferences|environment|env)\b"),
    _rule("configuration", 0.5, path=r"(^|/)(\w*config|settings|setup|conf)[/.]"),
    _rule("cli", 0.9, head=r"@\w+(\.\w+)*\.(command|group)\b|#\[derive\([^)]*Parser"),
    _rule("cli", 0.6, words=r"^(main|cli|command|usage)$|\b(argv|parse args|subcommand)\b"),
    _rule("cli", 0.3, path=r"(^|/)(cli|cmd|bin|__main__)[/.]|(^|/)main\.\w+$"),
    _rule("parsing", 0.75, words=r"\b(parsers?|parse|tokeni[sz]er?|lexer?|scanner|grammar|syntax)\b"),
    _rule(
        "serialization",
        0.75,
        words=r"\b((de)?seriali[sz]\w*|(un)?marshal|pickle|dumps?|loads|(en|de)code\w*)\b"
        r"|\b(to|from|as) (json|dict|bytes|yaml|xml)\b",
    ),
    _rule("error-handling", 0.85, kind="class|struct|enum", words=r"\b(error|exception)$"),
    _rule("error-handling", 0.55, words=r"\b(error|exception|retry|recover|fallback)\b"),
    _rule("concurrency", 0.65, words=r"\b(locks?|mutex|threads?|async|workers?|pool|semaphore|channel|scheduler)\b"),
    _rule("concurrency", 0.5, code=r"\bsync\.Mutex|threading\.|asyncio\.|synchronized\b|\bchan "),
    _rule("caching", 0.75, words=r"\b(cached?|caching|memoi[sz]e|lru)\b"),
    _rule("logging", 0.7, words=r"\b(logs?|logger|logging|tracing)\b"),
    _rule("validation", 0.65, words=r"\b(validat\w+|verify|ensure|check|sanitize|is valid)\b"),
    _rule("networking", 0.6, words=r"\b(http|socket|connect|download|upload|url|dns|tcp)\b"),
    _rule("networking", 0.4, words=r"\b(request|client|server)\b"),
    _rule("file-system", 0.55, words=r"\b(files?|paths?|director(y|ies)|folders?)\b"),
    _rule("formatting", 0.55, words=r"\b(format|render|print|pretty|repr|str|to string|display)\b"),
    _rule("build", 0.6, path=r"(^|/)(setup\.py|gulpfile\.js|webpack[^/]*|conftest\.py)$"),
    _rule("build", 0.6, path=r"^build\.rs$"),
    _rule(
        "construction",
        0.75,
        kind="function|method",
        words=r"^(create|make|build|new)\b",
        code=r"return (new |&)?[A-Z]\w*[({]",
    ),
    _rule("construction", 0.5, words=r"^(init|new|constructor|setup|create\b.*|build\b.*|new .*)$"),
    _rule("data-model", 0.6, kind="class|struct", head=r"@dataclass|BaseModel|NamedTuple|\brecord\b|#\[derive\("),
    _rule("data-model", 0.45, kind="^(struct|enum|interface|trait)$"),
    _rule("data-model", 0.35, kind="^(variable|constant)$"),
    _rule(
        "computation",
        0.5,
        words=r"\b(compute|calculate|sum|mean|average|score|count|distance|area|solve"
        r"|total|min|max|round|scale|interpolate)\b",
    ),
    # what the code does is weaker evidence than its name
    _rule("networking", 0.5, code=_NETWORK),
    _rule("file-system", 0.45, code=_FILES),
    _rule("serialization", 0.45, code=_FORMS),
    _rule("parsing", 0.4, code=_READING),
    _rule("validation", 0.45, kind="function|method", code=_REFUSING),
    _rule("computation", 0.35, kind="function|method", code=_CALCULATING),
    _rule("formatting", 0.3, kind="function|method", code=_WRITING),
    # and so do the labels that it has
    _rule("data-model", 0.6, labels=r"\b(data-class|value-object)\b"),
    _rule("data-access", 0.7, labels=r"\brepository\b"),
    _rule("database-query", 0.6, labels=r"\bsql-concatenation\b"),
    _rule(
        "error-handling",
        0.55,
        lines=r"^\d$",
        labels=r"\b(swallowed-exception|bare-except|broad-except|print-stack-trace"
        r"|ignored-error|panic)\b",
    ),
    _rule("networking", 0.5, labels=r"\b(hard-coded-bind|disabled-tls-verification)\b"),
    _rule("concurrency", 0.5, labels=r"\b(goroutine|channel-select)\b"),
    _rule("formatting", 0.45, labels=r"\bstring-concat-in-loop\b"),
    _rule("parsing", 0.45, labels=r"\bregex-compile-in-loop\b"),
)
_ECHOES = {"said": 0.6, "place": 0.5}
CATEGORIES = tuple(dict.fromkeys(rule.category for rule in RULES))
DEFAULT = "utility"


def categorise(units: pl.DataFrame) -> pl.DataFrame:
    """Add ``category``, ``category_source`` and ``category_score`` to units."""
    units = units.with_columns(pl.col("patterns").list.join(" ").alias("labels"))
    echoes = [
        LabellingRule(rule.category, rule.weight * share, {column: rule.where["words"]})
        for rule in RULES
        if set(rule.where) == {"words"}
        for column, share in _ECHOES.items()
    ]
    scores = units.select(_score(category, [*RULES, *echoes]).alias(category) for category in CATEGORIES)
    best = scores.select(pl.max_horizontal(pl.all())).to_series()
    # ties go to the category declared first; a best score of 0 means no category
    first = [pl.when((pl.col(category) == best) & (best > 0)).then(pl.lit(category)) for category in CATEGORIES]
    category = scores.select(pl.coalesce(first)).to_series()
    labels = pl.DataFrame({"category": category}).select(
        pl.col("category").fill_null(DEFAULT),
        pl.when(pl.col("category").is_null())
        .then(pl.lit("default"))
        .otherwise(pl.lit("rule"))
        .alias("category_source"),
        best.round(4).alias("category_score"),
    )
    return pl.concat([units.drop("labels"), labels], how="horizontal")


def _score(category: str, rules: list[LabellingRule]) -> pl.Expr:
    doubt: float | pl.Expr = 1.0
    for rule in rules:
        if rule.category == category:
            holds = [pl.col(column).cast(pl.String).str.contains(form) for column, form in rule.where.items()]
            doubt = doubt * pl.when(pl.all_horizontal(holds)).then(1.0 - rule.weight).otherwise(1.0)
    return pl.lit(1.0) - doubt
