"""What is done to the bytes of a file."""

import random

SNIPPETS = (
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r", b"\r\n", b"{}", b"null", b"NaN", b"1e999"),
    *(b'"', b"'", b"\\", b"\\ud800", b"\t", b": ", b"&a [*a]", b"<<: *a", b"!!binary x", b"---\n"),
    *(b"9" * 5000, b'{"a":' * 200, b"\xe2\x80\xa8", b'{"task_id": [1]}\n', b'{"title": 3}\n'),
)


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, cut, repeated, moved, or nothing at all of what there was."""
    found = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        place = chance.randrange(len(found) + 1)
        match chance.randrange(7):
            case 0:
                found[place : place + 1] = chance.randbytes(1)
            case 1:
                del found[place:]
            case 2:
                found[place:place] = chance.choice(SNIPPETS)
            case 3:
                end = chance.randrange(place, len(found) + 1)
                found[place:place] = found[place:end]
            case 4:
                del found[place : place + chance.randrange(1, 40)]
            case 5:
                found = bytearray(chance.randbytes(chance.randrange(60)))
            case _:
                found[place:place] = b"[" * chance.choice((3, 5000))
    return bytes(found)
