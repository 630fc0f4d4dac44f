"""How much of an answer that grows will stand, by where a completion of code ends."""

import re

from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.serving.code_end import CLOSING, HEADING, CodeEnd

_TRIES = 40
"""Shorter ends that are tried where a text ends within a statement."""

_FENCE = re.compile(r"[ \t]*(?:```|<\|)")
_CLAUSES = {"python": re.compile(r"(?:else|elif|except|finally|case)\b")}
_CLAUSE = re.compile(r"(?:else|catch|finally)\b|[.?:&|+*=%<>,;)\]-]|/[^/*]")
_COMMENT, _COMMENTS = re.compile(r"//|/\*|\*"), {"python": re.compile("#")}
_ANNOTATION = re.compile(r"(?:@(?!interface\b)[\w.]+(?:\(.*\))?|#!?\[.*\])$")


class GrowingCode:
    """One growing answer: how much of it will stand, and whether it ends there."""

    def __init__(self, end: CodeEnd) -> None:
        self._end = end
        self._below = _first_lines(end.after)
        self._checked = 0
        self._unfollowed = -1
        self._is_done = False
        self.settled = 0

    def settle(self, text: str) -> bool:
        """Check each line that another one follows; true where the answer ends with ``settled`` characters."""
        mark = self._end.closing_mark
        if mark and not self._is_done and (closed := re.search(rf"(?<!\\){re.escape(mark)}", text)):
            self._is_done, self.settled = True, len(text[: closed.start()].rstrip())
        while not self._is_done and (newline := text.find("\n", self._checked)) >= 0:
            if (repeated := self._repeated(text[:newline])) is not None:
                self._end_before(text[:repeated].rstrip())
                break
            if not re.match(r"\s*(?:\w+\W|[^\w\s])", text[newline:]):
                if newline > self._unfollowed:  # what follows is not known, and cannot make less of it stand
                    self._unfollowed = newline
                    self._keep(text, newline)
                break
            self._end_line(text, newline)
            self._checked = newline + 1
        if not self._is_done and not CLOSING.isdisjoint(text[self._checked :]):
            self._stop_at_excess(text)
        return self._is_done

    def cut(self, text: str, complete: bool) -> int:
        """End of an answer, ``complete`` or cut off: after its last part that parses, else all of it."""
        if self.settle(f"{text}\n") or _is_no_code(text[self._checked :]):
            return self.settled
        if complete and self._has_code(text) and self._end.is_whole(text):
            return len(text)
        return self.settled or self._longest(text) or len(text)

    def _repeated(self, answer: str) -> int | None:
        """Where the answer's last lines begin if they stand above, or below the cursor, already.

        Below, one that ends with an open bracket is compared together with the next: calls often begin alike.
        """
        lines = [line.rstrip() for line in (self._end.before + answer).split("\n")]
        if self._end.extent == "line" or not re.search(r"\w", lines[-1]):
            return None
        above = next(filter(None, reversed(lines[:-1])), "")
        for repeated in ([above], self._below):
            if repeated and repeated == lines[-len(repeated) :]:
                return len("\n".join(answer.split("\n")[: -len(repeated)]))
        return None

    def _end_line(self, text: str, newline: int) -> None:
        answer = text[:newline]
        following = next(line for line in text[newline:].split("\n") if line.strip())
        if not self._checked and _is_no_code(self._end.cursor_line + answer):
            self._is_done = True
            return
        parses = self._keep(text, newline)
        if _is_no_code(following) or not self._belongs(answer, following, parses):
            self._is_done = True
            self.settled = self._unparsed_end(answer)

    def _keep(self, text: str, newline: int) -> bool:
        """Whether an answer parses up to the end of a line, which will stand then."""
        answer = text[:newline]
        parses = self._has_code(answer) and self._end.is_whole(answer)
        if parses and self._has_code(text[self._checked : newline]):
            self.settled = len(answer.rstrip())
        return parses

    def _belongs(self, answer: str, following: str, parses: bool) -> bool:
        """Whether the next line belongs to what the answer began."""
        end, content = self._end, following.strip()
        indent = len(following) - len(following.lstrip())
        if end.extent == "line":
            is_open = not parses and len(end.brackets_after(answer)) > len(end.open_after)
            return is_open and not end.is_above_block
        if end.extent == "block":
            inside = indent > len(end.margin) or (not parses and content[0] in CLOSING)
        else:
            first = next(line for line in f"{end.cursor_line}{answer}\n{following}".split("\n") if line.strip())
            margin = len(first) - len(first.lstrip())
            inside = indent > margin or (not parses and indent == margin)
        if inside or not self._has_code(answer):
            return inside
        clause = _CLAUSES.get(end.grammar.language, _CLAUSE).match(content)
        if parses:
            return clause is not None and end.extent == "statement"
        return clause is not None or self._is_in_string(answer)

    def _is_in_string(self, answer: str) -> bool:
        return any(self._end.is_whole(f"{answer}\n{quotes}") for quotes in ('"""', "'''", "`"))

    def _stop_at_excess(self, text: str) -> None:
        """End the answer before a bracket that closes more than it may."""
        fewest_open = len(self._end.open_after)
        if len(self._end.brackets_after(text)) >= fewest_open:
            return
        for bracket in re.finditer(r"[)\]}]", text):
            if len(self._end.brackets_after(text[: bracket.end()])) < fewest_open:
                self._end_before(text[: bracket.start()].rstrip())
                return

    def _end_before(self, answer: str) -> None:
        self._is_done = True
        if self._has_code(answer):
            self.settled = len(answer) if self._end.is_whole(answer) else self._unparsed_end(answer)

    def _unparsed_end(self, answer: str) -> int:
        """What stands of an answer whose end does not parse: its first line if nothing of it does."""
        return self.settled or self._longest(answer) or len(re.findall(r"\A\s*.*", answer)[0].rstrip())

    def _longest(self, text: str) -> int:
        """The longest beginning of an answer with which the code parses; 0 if it never does."""
        ends = [match.end() for match in re.finditer(r"(?:\w+\b|[^\w\s])(?!(?<=[\w\"'`])[\"'`])", text)][-_TRIES:]
        return next((end for end in reversed(ends) if self._has_code(text[:end]) and self._end.is_whole(text[:end])), 0)

    def _has_code(self, text: str) -> bool:
        """Whether an answer holds more than comments and annotations."""
        comment = _COMMENTS.get(self._end.grammar.language, _COMMENT)
        lines = zip(text.split("\n"), f"{self._end.cursor_line}{text}".split("\n"), strict=True)
        return any(
            line.strip() and not comment.match(line.strip()) and not _ANNOTATION.match(full_line.strip())
            for line, full_line in lines
        )


def _first_lines(after: str) -> list[str]:
    """The first line with a word below the cursor, and the next ones while they end with an open bracket."""
    first: list[str] = []
    for line in after.split("\n")[1:]:
        has_word = re.search(r"\w", line) is not None
        if has_word:
            first.append(line.rstrip())
        if first and not (has_word and line.endswith(("(", "["))):
            break
    return first


def _is_heading(line: str) -> bool:
    heading = HEADING.fullmatch(line)
    return heading is not None and language_of(heading[1], "") is not None


def _is_no_code(line: str) -> bool:
    """Whether a line is a heading as prompts have (a comment with a path), or begins a fence or a control token."""
    return _is_heading(line) or bool(_FENCE.match(line))
