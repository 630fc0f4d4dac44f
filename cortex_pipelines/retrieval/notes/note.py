"""Notes on a project, with author, origin and date."""

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

from cortex_pipelines.damage import encodable

Kind: TypeAlias = Literal["note", "decision", "outcome", "exchange"]

KINDS: Final[dict[Kind, str]] = {
    "note": "something worth knowing",
    "decision": "what was decided, and why",
    "outcome": "what came of something that was tried",
    "exchange": "a question and its answer, which only its author is shown again",
}  # kind of what may be added to its meaning

SUMMARY: Final = "summary"  # kind of what is left of older exchanges

PRIVATE_KINDS: Final = ("exchange", SUMMARY)  # kinds shown to their author alone

LONGEST = 20_000  # characters of an entry: a long message; what is longer is a file, which search reads


class NoteError(RuntimeError):
    """A note cannot be stored, found or forgotten; the message says why and what to do."""


class NoteStoreUnavailableError(NoteError):
    """The file of the notes is damaged, busy, or not writable."""


@dataclass(frozen=True)
class NewNote:
    """A note to be added; ``text`` is the question of an exchange, ``origin`` a command, route or commit."""

    text: str
    kind: Kind
    author: str
    origin: str
    answer: str = ""
    supersedes: str | None = None


@dataclass(frozen=True)
class Note:
    """A stored note with its number in the store and the note that superseded it."""

    number: int
    id: str
    kind: str
    author: str
    origin: str
    at: str
    text: str
    answer: str
    superseded_by: str | None

    def as_json(self) -> dict[str, Any]:
        """The fields shown to users, without empty ones."""
        return {k: v for k, v in asdict(self).items() if v not in ("", None) and k != "number"}

    def as_text(self) -> str:
        return f"- {self.kind} of {self.at[:10]} ({self.id}): {' '.join(self.text.split())}"


def validate_text(draft: NewNote) -> None:
    if not draft.text.strip():
        raise NoteError("there is nothing to keep: the text is empty")
    for name, text in (("text", draft.text), ("answer", draft.answer), ("origin", draft.origin)):
        if len(text) > LONGEST:
            raise NoteError(
                f"the {name} has {len(text):,} characters, at most {LONGEST:,} are kept; keep what "
                "is to be known of it, and say under origin where all of it is"
            )
        if "\0" in text or text != encodable(text):
            raise NoteError(f"the {name} is not text that UTF-8 can hold")
    if draft.answer and draft.kind != "exchange":
        raise NoteError(f"only an exchange has an answer, and this is to be a {draft.kind}")
    if draft.supersedes is not None and draft.kind == "exchange":
        raise NoteError("an exchange was held and is not superseded; `forget` deletes one")
