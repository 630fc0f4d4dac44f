"""What is done to the bytes of a file."""

import random

SNIPPETS = (
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r", b"\r\n", b"{}", b"null", b"NaN", b"1e999"),
    *(b'"', b"'", b"\\", b"\\ud800", b"\t", b": ", b"&a [*a]", b"<<: *a", b"!!binary x", b"---\n"),
    *(b"9" * 5000, b'{"a":' * 200, b"\xe2\x80\xa8", b'{"task_id": [1]}\n', b'{"title": 3}\n'),
)


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, cut, repeated, moved, or nothing at all of what there was."""
    damaged_data = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        position = chance.randrange(len(damaged_data) + 1)
        match chance.randrange(7):
            case 0:
                damaged_data[position : position + 1] = chance.randbytes(1)
            case 1:
                del damaged_data[position:]
            case 2:
                damaged_data[position:position] = chance.choice(SNIPPETS)
            case 3:
                end = chance.randrange(position, len(damaged_data) + 1)
                damaged_data[position:position] = damaged_data[position:end]
            case 4:
                del damaged_data[position : position + chance.randrange(1, 40)]
            case 5:
                damaged_data = bytearray(chance.randbytes(chance.randrange(60)))
            case _:
                damaged_data[position:position] = b"[" * chance.choice((3, 5000))
    return bytes(damaged_data)
