import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cortex_pipelines.ingestion.entries import File, SourceError, SourceLimits, unsafe_path_reason
from cortex_pipelines.ingestion.readers.files import read_archive
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines_tests.ingestion.connected import tar
from cortex_pipelines_tests.parameters import PROPERTY_STEPS

Member = tuple[str, bytes]
IN_ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=2 * PROPERTY_STEPS)


def zipped(*members: Member | tuple[zipfile.ZipInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return packed.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.fixture
def unpack(tmp_path: Path, read: Any) -> Callable[..., Any]:
    def read_bytes(content: bytes, **limits: int) -> Any:
        (tmp_path / "code").write_bytes(content)
        return read({"archive": "code"}, **limits)

    return read_bytes


FILES = (("a.py", b"a = 1\n"), ("sub/b.go", b"package b\n"))


@pytest.mark.parametrize(
    "content",
    [
        tar(*FILES),
        tar(*FILES, form=tarfile.GNU_FORMAT),
        tar(*FILES, form=tarfile.USTAR_FORMAT),
        tar(*((f"./{name}", data) for name, data in FILES)),
        gzip.compress(tar(*FILES), mtime=0),
        bz2.compress(tar(*FILES)),
        lzma.compress(tar(*FILES)),
        zipped(*FILES),
        zipped(("sub/", b""), *FILES),
    ],
)
def test_every_format_gives_the_same_files(unpack: Any, content: bytes) -> None:
    tables = unpack(content)
    assert (tables.texts, tables.skipped.height) == ({"a.py": "a = 1\n", "sub/b.go": "package b\n"}, 0)


HOSTILE = ["../up.py", "sub/../../up.py", "/etc/abs.py", "..", "..\\up.py", "a\\..\\b.py", "C:\\x.py", "\\x.py"]


@pytest.mark.parametrize("pack", [tar, zipped])
def test_no_path_leaves_its_folder(unpack: Any, pack: Any) -> None:
    tables = unpack(pack(*FILES, *((name, b"evil = 1\n") for name in HOSTILE)))
    assert (list(tables.texts), tables.reasons) == (["a.py", "sub/b.go"], dict.fromkeys(HOSTILE, "unsafe_path"))


def test_links_and_devices_are_left_out_of_a_tar(unpack: Any) -> None:
    odd = {
        "soft.py": special("soft.py", tarfile.SYMTYPE, "../../etc/passwd"),
        "hard.py": special("hard.py", tarfile.LNKTYPE, "a.py"),
        "disk": special("disk", tarfile.BLKTYPE),
        "terminal": special("terminal", tarfile.CHRTYPE),
        "pipe": special("pipe", tarfile.FIFOTYPE),
        "sparse": special("sparse", tarfile.GNUTYPE_SPARSE),
    }
    tables = unpack(tar(*FILES, *odd.values(), special("folder", tarfile.DIRTYPE)))
    assert list(tables.texts) == ["a.py", "sub/b.go"]
    expected = {"soft.py": "link", "hard.py": "link"}
    assert tables.reasons == expected | dict.fromkeys(["disk", "terminal", "pipe", "sparse"], "special")


def test_links_secrets_and_unknown_packing_are_left_out_of_a_zip(tmp_path: Path, unpack: Any) -> None:
    link, device = zipfile.ZipInfo("soft.py"), zipfile.ZipInfo("disk")
    link.external_attr, device.external_attr = 0o120777 << 16, 0o060666 << 16
    content = bytearray(zipped(*FILES, (link, b"/etc/passwd"), (device, b""), ("locked", b"x")))
    central = content.rindex(b"PK\x01\x02")
    content[central + 8] |= 1  # the flag of an encrypted member
    tables = unpack(bytes(content))
    assert list(tables.texts) == ["a.py", "sub/b.go"]
    assert tables.reasons == {"soft.py": "link", "disk": "special", "locked": "encrypted"}
    content[central + 8] &= 0xFE
    content[central + 10 : central + 12] = struct.pack("<H", 97)
    assert unpack(bytes(content)).reasons["locked"] == "unknown_packing"


@pytest.mark.parametrize("pack", [tar, zipped])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_first_of_two_members_with_one_name_is_kept(unpack: Any, pack: Any) -> None:
    tables = unpack(pack(("a.py", b"first"), ("./a.py", b"second"), ("a.py", b"third")))
    assert (tables.texts, tables.reasons) == ({"a.py": "first"}, {"a.py": "duplicate"})


@pytest.mark.parametrize("pack", [tar, zipped])
def test_what_is_too_much_is_left_out(unpack: Any, pack: Any) -> None:
    tables = unpack(pack(FILES[0], ("large.py", Random(0).randbytes(100_001)), FILES[1]))
    assert (list(tables.texts), tables.reasons) == (["a.py", "sub/b.go"], {"large.py": "too_large"})
    tables = unpack(pack(*((f"{number}.py", b"1") for number in range(9))), max_files=3)
    assert (list(tables.texts), tables.reasons) == (["0.py", "1.py", "2.py"], {"3.py": "too_many_files"})
    tables = unpack(pack(FILES[0], *((f"{number}.py", bytes(600)) for number in range(9))), max_source_bytes=5000)
    assert "source_too_large" in tables.reasons.values()


def test_archives_that_unpack_to_too_much_are_not_unpacked(unpack: Any) -> None:
    bomb = ("zeros", bytes(8_000_000))
    assert unpack(zipped(*FILES, bomb)).reasons == {"zeros": "compression_ratio"}
    assert unpack(gzip.compress(tar(*FILES, bomb))).reasons == {"zeros": "compression_ratio"}
    assert unpack(tar(*FILES, bomb), max_source_bytes=10_000).reasons == {"zeros": "source_too_large"}


def test_a_flood_of_members_is_refused_before_they_are_listed(unpack: Any) -> None:
    content = zipped(*((f"{number}.py", b"") for number in range(50)))
    with pytest.raises(SourceError, match=r"50 entries.*max_files is 4"):
        unpack(content, max_files=4)


def test_a_large_archive_is_not_opened(unpack: Any) -> None:
    with pytest.raises(SourceError, match=r"max_archive_bytes.*raise it"):
        unpack(tar(*FILES), max_archive_bytes=100)


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress, bz2.compress, lzma.compress])
def test_a_tar_that_breaks_off_is_an_error_wherever_it_does(unpack: Any, pack: Any) -> None:
    archive = pack(tar(("a.py", b"a = 1\n" * 200), ("b.py", b"b = 1\n" * 200)))
    plain = len(tar(("a.py", b"a = 1\n" * 200), ("b.py", b"b = 1\n" * 200)).rstrip(b"\0"))
    most = plain if archive.startswith(b"a.py") else len(archive) - 1
    for length in {0, 1, 300, 512, 1024, 2048, 3072, most // 2, most} & set(range(most + 1)):
        with pytest.raises(SourceError, match="truncated, damaged"):
            unpack(archive[:length])


def test_a_zip_that_breaks_off_or_was_changed_is_an_error(unpack: Any) -> None:
    archive = zipped(*FILES)
    for length in range(0, len(archive), 7):
        with pytest.raises(SourceError, match="truncated, damaged"):
            unpack(archive[:length])
    changed = zipped((zipfile.ZipInfo("a.py"), b"a = 1\n")).replace(b"a = 1", b"a = 2")
    with pytest.raises(SourceError, match="CRC"):
        unpack(changed)


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(unpack: Any) -> None:
    content = bytearray(tar(*FILES, form=tarfile.USTAR_FORMAT))
    content[1024 + 148] ^= 0x55  # checksum of the second member
    with pytest.raises(SourceError, match="without an end mark"):
        unpack(bytes(content))


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.type = kind
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block))[0]
    return bytes(block)


@pytest.mark.parametrize(
    "content",
    [
        header("back.py", -512) + bytes(1024),
        header("pax", 1 << 40, tarfile.XHDTYPE) + bytes(1024),
        header("long", 1 << 40, tarfile.GNUTYPE_LONGNAME) + bytes(1024),
        (header("long", 1, tarfile.GNUTYPE_LONGNAME) + b"x" + bytes(511)) * 3000,
        header("a", 30, tarfile.XHDTYPE) + b"16 size=-1024\n".ljust(512, b"\0") + bytes(1024),
        b"not an archive at all\n",
    ],
)
def test_headers_that_lie_end_in_an_error(unpack: Any, content: bytes) -> None:
    with pytest.raises(SourceError):
        unpack(content)


def test_a_changed_or_missing_archive_is_said(tmp_path: Path, take: Any, read_pinned: Any) -> None:
    path = tmp_path / "code.tar"
    path.write_bytes(tar(*FILES))
    pinned = take({"archive": "code.tar"})
    assert set(pinned.pins[0]) == {"archive", "sha256", "size"}
    assert list(read_pinned(pinned).texts) == ["a.py", "sub/b.go"]
    path.write_bytes(tar(FILES[0]))
    with pytest.raises(SourceError, match=r"has changed.*cortex update"):
        read_pinned(pinned)
    path.unlink()
    with pytest.raises(SourceError, match="no such file"):
        read_pinned(pinned)
    with pytest.raises(SourceError, match="no such file"):
        take({"archive": "code.tar"})


NAMES = st.text(st.sampled_from("ab./\\:\0\n\udcff\u202e é~C*"), min_size=1, max_size=12).filter(
    lambda name: name.strip("/")
)


def contents(path: Path, limits: IngestionSettings) -> list[Any]:
    return list(read_archive(path, "archive:x", SourceLimits(limits)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@IN_ONE_FOLDER
@given(names=st.lists(NAMES, max_size=6), form=st.sampled_from([tar, zipped]))
@example(names=["a\0../../b"], form=zipped)
@example(names=["\udcff"], form=tar)
def test_whatever_the_names_every_file_has_a_safe_one(tmp_path: Path, settings, names: list[str], form: Any) -> None:
    path = tmp_path / "fuzzed"
    try:
        path.write_bytes(form(*((name, b"x") for name in names)))
    except (ValueError, IndexError):
        return  # the format cannot hold such a name
    entries = contents(path, settings)
    files = [entry.path for entry in entries if isinstance(entry, File)]
    assert len(files) == len(set(files))
    for name in files:
        assert unsafe_path_reason(name) is None
        assert (tmp_path / name).resolve().is_relative_to(tmp_path)
    for entry in entries:
        entry.path.encode("utf-8")


@IN_ONE_FOLDER
@given(
    packed=st.sampled_from([tar(*FILES), tar(("é" * 120, b"x")), gzip.compress(tar(*FILES)), zipped(*FILES)]),
    changes=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_whatever_is_damaged_is_read_or_refused(tmp_path: Path, settings, packed: bytes, changes) -> None:
    content = bytearray(packed)
    for offset, byte in changes:
        content[offset % len(content)] = byte
    path = tmp_path / "fuzzed"
    path.write_bytes(content)
    try:
        entries = contents(path, settings)
    except SourceError:
        return
    files = {entry.path for entry in entries if isinstance(entry, File)}
    assert len(files) <= 2
    assert not any(unsafe_path_reason(name) for name in files)
