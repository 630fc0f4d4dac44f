"""Segments of prompts: text, and the control tokens that templates write."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Segment:
    text: str
    control: bool = False


Segments = tuple[Segment, ...]


def as_segments(prompt: str | Segments) -> Segments:
    """A prompt as segments; a string is text throughout."""
    if isinstance(prompt, str):
        return (Segment(prompt),) if prompt else ()
    return prompt


def as_text(segments: Segments) -> str:
    """A prompt for people to read, its control tokens spelt out."""
    return "".join(segment.text for segment in segments)
