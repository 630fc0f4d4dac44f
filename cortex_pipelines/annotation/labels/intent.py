"""What a unit does, as a verb and its object, with the kind of the verb: from its name, documentation and calls."""

import re
from typing import Any, NamedTuple

from cortex_pipelines.annotation.labels.vocabulary import words_of

INTENT_VERBS = {
    "read": (
        "access acquire ask browse capture collect consume count dequeue detect discover download enumerate examine "
        "extract fetch find gather get getvalue grab inspect iterate lease len list load locate look_up lookup "
        "navigate next observe obtain paginate peek poll pop pull query read readall readinto readline readlines "
        "recall receive recv resolve retrieve return scan search see show size skip tail take tell traverse use view "
        "visit walk watch yield"
    ),
    "write": (
        "add append archive assign ban block broadcast change chmod clean clear commit complete copy decrement del "
        "delete demote destroy disable discard drain draw drop echo edit emit enable enqueue erase evict expire "
        "favorite favourite fill flip flush follow forget freeze hide highlight increase increment insert invalidate "
        "invite keep kick like log log_in logout mark materialise materialize mkdir modify move mutate note notify "
        "overwrite paint patch persist populate post prepend print promote prune publish purge push put record remove "
        "rename replace reply report reset resize restore retain rm rollback rotate save schedule scroll seed send "
        "set setdefault share shift ship sign_up stash store submit subscribe swap symlink tag throw toggle touch "
        "track transfer truncate unfavorite unfavourite unfollow unlike unlink unset update update_or_create upgrade "
        "upload upsert vote warn wipe write writelines"
    ),
    "compute": (
        "accumulate adjust aggregate approximate arrange average bisect calc calculate choose clamp classify cluster "
        "coalesce combine compute concat concatenate deduce deduplicate derive diff digest divide estimate eval "
        "evaluate exclude extrapolate filter fit fold gen generate group guess hash infer interpolate intersect "
        "maximise maximize mean measure merge minimise minimize mix multiply negate optimise optimize order partition "
        "permute pick predict prioritize project rank rearrange reconcile recurse reduce reverse sample score select "
        "shuffle sign simplify simulate solve sort subtract sum tally train union weigh"
    ),
    "convert": (
        "adapt anonymise anonymize as canonicalize capitalize cast coerce compile compress convert cut dasherize "
        "decode decompress decrypt dedent deflate dehydrate describe deserialise deserialize display dump dumps "
        "encode encrypt escape expand explode flatten fmt format from humanize hydrate indent inflate into join "
        "jsonify loads localize lower map marshal mask normalise normalize obfuscate pack pad parse pluralize pretty "
        "quote redact render repr represent sanitise sanitize serialise serialize shorten slugify split spread str "
        "stringify strip substitute to tokenise tokenize tostring transcode transform translate transpose trim "
        "unescape unmarshal unpack unquote unwrap unzip upper zip"
    ),
    "check": (
        "accept accepts allow allows any are assert assure audit authenticate authorise authorize bench benchmark can "
        "check compare confirm constrain contains could deny depends diagnose did does ends enforce ensure equal "
        "equals exist exists expect forbid guard has have ignore includes is isatty isinstance lint match matches "
        "must need needs permit ping prevent probe protect refuse reject require requires restrict should starts "
        "supports test try validate verify was were"
    ),
    "wire": (
        "abort activate alloc announce apply attach await begin bind boot bootstrap build cache call cancel catch "
        "chain clean_up cleanup clone close configure connect construct create deactivate debounce declare decorate "
        "defer define delegate deploy destruct detach dial dispatch dispose do embed end enter exec execute exit "
        "export extend fail fake finalise finalize finish fire fork forward handle implement import include init "
        "initialise initialize inject install instantiate instrument intercept interrupt invoke issue kill launch "
        "link listen lock log_out main make memoize migrate mk mock monkeypatch mount nest new on open override own "
        "pass pause perform plug preload prepare process propagate provide proxy raise react recover redirect refresh "
        "register release reload reopen respond restart resume retry roll_back route run seek serve set_up settle "
        "setup shut_down shutdown sign_in sign_out sleep spawn spy start start_up stop stub suppress suspend switch "
        "sync synchronize tear tear_down teardown terminate then throttle trigger unbind unlock unmount unregister "
        "wait wake wire work wrap"
    ),
}
"""Verbs of names and documentation by the kind of what they do.

``read`` gets what is there; ``write`` changes what lasts beyond the call, or sends it; ``compute`` derives a new value;
``convert`` changes the form of one; ``check`` decides or asserts; ``wire`` makes, connects, runs and ends the parts of
a program.
"""
KIND_OF_VERB = {verb: kind for kind, verbs in INTENT_VERBS.items() for verb in verbs.split()}


_MOST_WORDS = 6  # of an object
_MOST_CHARS = 100
_TYPES = frozenset({"class", "struct", "interface", "trait", "enum"})
_TEST_HEAD = re.compile(r"@(?:\w+\.)*(?:Test|ParameterizedTest|RepeatedTest)\b|#\[(?:\w+::)*test\b")
_TEST_TYPE = re.compile(r"^tests?\b|\b(?:tests?|test case|spec|it)$")
_ASKING = "are can could did does has have is must need needs should was were"
_ASKED = frozenset(_ASKING.split())
_MANNERS = frozenset({"async", "auto", "do", "force", "internal", "maybe", "raw", "try"})
_FORMS = frozenset({"as", "from", "into", "to"})
_JSX = re.compile(r"(?<!\w)<(?:[A-Za-z][\w.]*[\s/>]|>)")
_ACCESSOR = re.compile(r"@(?:\w+\.)?(?:\w+_)?property\b|@\w+\.(?:setter|deleter)\b|(?:^|\s)[gs]et\s+[\w$#]+\s*\(")
# methods whose meaning a language fixes, by the words of their names
_FIXED = {
    **dict.fromkeys(("init", "new", "post init", "constructor", "default"), ("create", "wire")),
    **dict.fromkeys(("repr", "str", "bytes", "to string", "fmt", "string"), ("format", "convert")),
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge", "cmp", "partial cmp"), ("compare", "check")),
    **dict.fromkeys(("equals", "compare to"), ("compare", "check")),
    **dict.fromkeys(("contains", "bool", "instancecheck"), ("check", "check")),
    **dict.fromkeys(("hash", "hash code"), ("hash", "compute")),
    **dict.fromkeys(("add", "sub", "mul", "truediv", "and", "or", "neg", "invert"), ("compute", "compute")),
    **dict.fromkeys(("len", "size", "length"), ("count", "read")),
    **dict.fromkeys(("iter", "aiter", "next", "anext"), ("iterate", "read")),
    **dict.fromkeys(("getitem", "getattr", "getattribute", "get", "deref", "index"), ("get", "read")),
    **dict.fromkeys(("setitem", "setattr", "set", "setstate"), ("set", "write")),
    **dict.fromkeys(("delitem", "delattr"), ("delete", "write")),
    **dict.fromkeys(("enter", "aenter"), ("enter", "wire")),
    **dict.fromkeys(("exit", "aexit", "drop", "del"), ("close", "wire")),
    "call": ("call", "wire"),
    "main": ("run", "wire"),
}
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})  # of HTTP, which a router calls
_VIEWS = frozenset({"error", "layout", "loading", "page", "template"})
_GIVEN = _VIEWS | {"index", "route", "server"}  # names of files that a framework looks for
_DUNDER = re.compile(r"__\w+__\Z")
# words that mean so only between underscores
_ONLY_DUNDER = frozenset({"add", "sub", "mul", "and", "or", "neg", "get", "set", "contains", "index"})
_OF_FUNCTIONS = frozenset({"main", "new", "default"})
_DOC_WORD = re.compile(r"[A-Za-z][\w'-]*")
_DETERMINERS = "a an the this that these those all any each every some its their given current new"
_PREPOSITIONS = "and as at before after by during for from if in into on or that to using via when where whether which"
_CLAUSE_END = re.compile(r"[;:(]")
_SKIPPED = frozenset(_DETERMINERS.split())
_STOPS = frozenset(f"{_PREPOSITIONS} {_ASKING} be cannot may might while will with without would so".split())
_TRUTH = re.compile(
    r"(?i)^returns?\s+[`'\"*]{0,2}(?:true|false|whether|if)\b|^(?:whether|true if|checks?|determines?)\b"
)
_TEXT = re.compile(r"(?i)^returns?\s+(?:an?|the)?\s*(?:\w+\s+){0,2}(?:string|text|json|dict\w*|representation)\b")
_CALL = re.compile(r"(?<![\w.])(?:[\w$]+(?:\(\))?(?:\.|::|\?\.|->)){0,9}([A-Za-z_$]\w*)!?\(")
_NO_CALLS = "assert catch def fn for func if return super switch while"
# calls that do not say what a function is for
_OF_DETAIL = "cast clone display isinstance len list map new next str then unwrap"
_PLAIN_CALLS = frozenset(f"{_NO_CALLS} {_OF_DETAIL}".split())
_SETS_SELF = re.compile(r"\b(?:self|this|\w)\.\w+(?:\.\w+){0,9}\s*=[^=]")
# who does it, before the verb, "closes", or with the interface that it implements, which says nothing of it
_SUBJECT = re.compile(r"(This \w+|\S+)\s+(?:implements\b.*|(?!(?:is|was|has|does)\b)(?=[a-z]+s\b))")
_RETURNS = re.compile(r"\breturn\b\s*[^\s;}]|=>\s*[^{\s]|->")
_RESULT = re.compile(r"\b(?:return|yield)\b([^\S\n]*[^\s;}].*)")
_MOST_BODY = 4_000  # characters of a body that are looked at for what it calls


class Intent(NamedTuple):
    verb: str
    object: str
    kind: str

    @property
    def text(self) -> str:
        return f"{self.verb.replace('_', ' ')} {self.object}".strip()[:_MOST_CHARS]


def intent_of(unit: dict[str, Any], summary: str) -> Intent | None:
    """None if nothing says it. ``unit``: a row of ``CODE_UNITS``; ``summary``: first sentence of its documentation."""
    name, kind = unit["name"], unit["kind"]
    if kind == "import":
        return Intent("import", name.strip(), "wire")
    words = words_of(name).split()
    is_script = unit["language"] in ("javascript", "typescript")
    if is_script and kind == "function" and name == "default":
        words = words_of(_file_name(unit["path"])).split()
    if kind in ("variable", "constant"):
        return Intent("define", _first_words(words) or name, "wire")
    if kind in _TYPES:
        return _of_type(words or [name])
    owner = words_of(unit["qualified_name"].removesuffix(name).rstrip(".").rpartition(".")[2])
    if is_script and name in _METHODS:
        owner = words_of(_file_name(unit["path"]))
    head_end = unit["body_start_byte"] or unit["end_byte"]
    code = unit["code"]
    head = code.encode()[: head_end - unit["start_byte"]].decode(errors="replace")
    body = code[len(head) :]
    if _TEST_HEAD.search(head) or (words[:1] == ["test"] and len(words) > 1):
        return Intent("test", _first_words([word for word in words if word != "test"]), "check")
    subject = _SUBJECT.match(summary)
    if subject and (subject[1] == name or subject[1].startswith("This ")):  # "Close closes the shop." of Go
        summary = summary[subject.end() :]
    elif summary.startswith("Whether") and _SETS_SELF.search(body):
        summary = f"Set {summary}"
    fixed = _fixed(name, " ".join(words), unit, owner)
    return (
        fixed
        or (_of_component(unit, words, body) if is_script and kind == "function" else None)
        or _of_accessor(unit, words, head, summary)
        or _of_words(words, owner, summary)
        or _of_summary(words, summary)
        or _of_owner(words, owner)
        or _of_body(unit, words, head, body)
    )


def _first_words(words: list[str]) -> str:
    """The words that an object may have, without a preposition at their end if more words follow it."""
    first = words[:_MOST_WORDS]
    if len(words) > _MOST_WORDS and first[-1] in _STOPS:
        first.pop()
    return " ".join(first)


def _of_type(words: list[str]) -> Intent:
    text = " ".join(words)
    if _TEST_TYPE.search(text) and len(words) > 1:
        return Intent(
            "test", " ".join(word for word in words if word not in ("test", "tests", "case", "spec")), "check"
        )
    verb = _agent(words[-1])
    if verb is not None:
        return Intent(verb, _first_words(words[:-1]), KIND_OF_VERB[verb])
    return Intent("define", _first_words(words), "wire")


def _agent(word: str) -> str | None:
    """The verb of who does it: ``parser`` is of ``parse``."""
    for ending in ("er", "or"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) > 2:
            doubled = stem[:-1] if stem[-1] == stem[-2] else stem
            for verb in (stem, f"{stem}e", doubled):
                if verb in KIND_OF_VERB:
                    return verb
    return None


def _fixed(name: str, words: str, unit: dict[str, Any], owner: str) -> Intent | None:
    plain = words_of(name.strip("_")) if _DUNDER.match(name) else words
    if unit["kind"] == "method" and owner and owner == words:
        return Intent("create", owner, "wire")  # a constructor of Java
    if plain not in _FIXED or (plain in _ONLY_DUNDER and not _DUNDER.match(name)):
        return None
    if unit["kind"] == "function" and plain not in _OF_FUNCTIONS:
        return None
    verb, kind = _FIXED[plain]
    return Intent(verb, owner or ("program" if verb == "run" else ""), kind)


def _of_component(unit: dict[str, Any], words: list[str], body: str) -> Intent | None:
    """A function of JavaScript that renders JSX and is called like a type or not at all, or that makes an object."""
    name = unit["name"]
    if name in _METHODS or not (name[:1].isupper() or name == "default"):
        return None
    if _JSX.search(body) and not unit["path"].endswith("ts"):  # there, it is the parameter of a type
        return Intent("render", " ".join(words), "convert")
    return Intent("create", " ".join(words), "wire") if name != "default" else None


def _file_name(path: str) -> str:
    """The name of a file, with or instead of it that of its folder where a framework asks for the file's name."""
    *folders, name = path.split("/")
    stem = name.partition(".")[0].lstrip("+")
    folder = next((folder for folder in reversed(folders) if folder[:1] not in ("[", "(")), "")
    return f"{folder} {stem if stem in _VIEWS else ''}" if folder and stem in _GIVEN else stem


def _of_accessor(unit: dict[str, Any], words: list[str], head: str, summary: str) -> Intent | None:
    """A property is called after what it holds, not after what it does."""
    accessor = _ACCESSOR.search(head) if unit["kind"] == "method" and words else None
    if accessor is None or words[0] in _ASKED or _TRUTH.match(summary):
        return None
    writes = accessor[0].strip().startswith(("set", "@")) and "property" not in accessor[0]
    return Intent("set" if writes else "get", _first_words(words), "write" if writes else "read")


def _of_owner(words: list[str], owner: str) -> Intent | None:
    """A method without a verb does what its type is called after: ``response`` of a serializer serializes it."""
    verb = _agent(owner.rpartition(" ")[2])
    return Intent(verb, _first_words(words), KIND_OF_VERB[verb]) if verb is not None else None


def _of_words(words: list[str], owner: str, summary: str) -> Intent | None:
    if words[:1] and words[0] in _MANNERS and len(words) > 1:
        words = words[1 + (words[:2] == ["try", "to"]) :]
    if not words:
        return None
    if "_".join(words[:2]) in KIND_OF_VERB:
        words = ["_".join(words[:2]), *words[2:]]
    undone = _verb(words[1]) if words[0] == "un" and len(words) > 1 else None
    if undone is not None:
        return Intent(f"un{undone}", _first_words(words[2:] or [owner]), KIND_OF_VERB[undone])
    first, rest = words[0], words[1:]
    if first in _ASKED:
        return Intent("check", _first_words(rest or [owner]), "check")
    verb = _verb(first)
    # the list of "list to string" is a noun; verbs that write or wire may have an aim: "add to list"
    is_noun = verb is None or (words[1:2] in (["to"], ["as"]) and KIND_OF_VERB[verb] in ("read", "compute"))
    if (is_noun and not {"to", "as"}.isdisjoint(words[1:-1])) or (first in _FORMS and rest):
        return Intent("convert", _first_words(words[first == "convert" :]), "convert")
    if first in _FORMS or first in ("with", "without"):
        return (
            Intent("convert", f"{first} {owner}", "convert")
            if first in _FORMS
            else Intent("set", " ".join(rest), "write")
        )
    if verb is not None:
        objects = _object_of(summary)
        if objects[:1] == [verb]:  # "Send a GET request." of ``get``
            objects = objects[2 if objects[1:2] == ["of"] else 1 :]
        return Intent(verb, _first_words(rest or objects or [owner]), KIND_OF_VERB[verb])
    agent = _agent(words[-1])
    if agent is not None and len(words) > 1:
        return Intent(agent, _first_words(words[:-1]), KIND_OF_VERB[agent])
    return None


def _verb(word: str) -> str | None:
    """The verb in the lexicon of a word in any of its forms."""
    forms = [word, word.removesuffix("s"), word.removesuffix("es"), f"{word.removesuffix('ies')}y"]
    if word.endswith("ing") and len(word) > 5:
        forms += [word[:-3], f"{word[:-3]}e", word[:-4]]
    if word.startswith("re") and len(word) > 5:
        forms.append(word[2:])
    return next((form for form in forms if form in KIND_OF_VERB), None)


def _object_of(summary: str) -> list[str]:
    """The noun after the verb of a sentence."""
    truth = _TRUTH.match(summary)
    clause = _CLAUSE_END.split(summary[truth.end() :] if truth else summary, maxsplit=1)[0]
    words = [word.lower() for word in _DOC_WORD.findall(clause)]
    words = words if truth else words[1:]
    nouns: list[str] = []
    for word in words:
        if word in _STOPS or (word == "of" and len(nouns) > 1):
            break
        if word not in _SKIPPED and (nouns or word != "of"):
            nouns.append(word)
    if nouns[-1:] == ["of"]:
        return nouns[:-1]
    return nouns[: 5 if "of" in nouns else 3]  # number of child nodes


def _of_summary(words: list[str], summary: str) -> Intent | None:
    first = _DOC_WORD.match(summary)
    if first is None:
        return None
    if _TRUTH.match(summary):
        return Intent("check", _first_words(_object_of(summary) or words), "check")
    verb = _verb(first[0].lower())
    if verb is None or verb in _ASKED or verb == "like":  # "Like find, but"
        return None
    object_ = _first_words(_object_of(summary) or words)
    if verb == "return":
        return Intent("format", object_, "convert") if _TEXT.match(summary) else Intent("get", object_, "read")
    return Intent(verb, object_, KIND_OF_VERB[verb])


def _of_body(unit: dict[str, Any], words: list[str], head: str, body: str) -> Intent | None:
    """By what it calls, else by whether it changes or gives something."""
    name = unit["name"]
    is_expression = head.rstrip().endswith("=>") and not body.startswith("{")  # a function of JavaScript
    subject = _first_words(words) or name
    body = body[:_MOST_BODY]
    # of a function that gives something, what it checks and logs on its way does not say what it is for
    for match in _CALL.finditer([body, *_RESULT.findall(body)][-1]):
        called = words_of(match[1]).split()
        verb = _verb(called[0]) if called and match[1] not in _PLAIN_CALLS else None
        if verb is not None and verb not in _FORMS and verb not in _ASKED:
            return Intent(verb, subject, KIND_OF_VERB[verb])
    if _SETS_SELF.search(body):
        return Intent("set", subject, "write")
    if _RETURNS.search(body) or is_expression:
        return Intent("get", subject, "read")
    return None
