import contextlib
import gzip
import random
import zlib

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.ingest import lines as lines_module
from mmsra_pipeline.ingest.lines import LineBlock, read_blocks

# No byte here begins a mark of UTF-8 or UTF-16, nor a compressed file.
CONTENTS = st.lists(st.text("ab\r", max_size=40).map(str.encode), max_size=30).map(b"\n".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lines")


def read(folder, content: bytes, block_bytes: int = 1 << 20) -> list[LineBlock]:
    path = folder / "file"
    path.write_bytes(content)
    return list(read_blocks(path, block_bytes))


def numbered(blocks: list[LineBlock]) -> dict[int, bytes]:
    """Lines by their number."""
    return {
        number: line
        for block in blocks
        if not block.flaw
        for number, line in enumerate(block.lines(), start=block.first)
    }


def expected(content: bytes) -> dict[int, bytes]:
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return {number: line.removesuffix(b"\r") for number, line in enumerate(lines, start=1)}


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


def some_lines(count: int) -> bytes:
    rng = random.Random(0)
    return b"".join(b"%d %s\n" % (number, rng.randbytes(30).hex().encode()) for number in range(count))


@settings(deadline=None)
@given(content=CONTENTS, size=st.integers(1, 60), pack=st.sampled_from([bytes, gzip.compress, zstd]))
def test_blocks_are_cut_at_line_ends_whatever_their_size(folder, content, size, pack):
    blocks = read(folder, pack(content), size)
    assert b"".join(block.content for block in blocks) == content
    assert all(block.content.endswith(b"\n") for block in blocks[:-1])
    assert numbered(blocks) == expected(content)
    assert not [block for block in blocks if block.flaw or block.damaged]


@settings(deadline=None)
@given(parts=st.lists(CONTENTS, max_size=5), size=st.integers(1, 60), zeros=st.integers(0, 5))
def test_a_gzip_file_may_have_several_members_and_end_in_zeros(folder, parts, size, zeros):
    content = b"".join(parts)
    blocks = read(folder, b"".join(map(gzip.compress, parts)) + bytes(zeros if parts else 0), size)
    assert numbered(blocks) == expected(content)
    assert not [block for block in blocks if block.flaw]


def test_a_zstd_file_may_have_several_frames(folder):
    assert numbered(read(folder, zstd(b"a\nb") + zstd(b"c\nd\n"))) == {1: b"a", 2: b"bc", 3: b"d"}


def test_blocks_know_how_much_of_the_file_was_read(folder):
    content = some_lines(100)
    offsets = [block.offset for block in read(folder, content, 500)]
    assert offsets == sorted(offsets)
    assert offsets[-1] == len(content)


def test_a_line_is_found_by_its_number():
    block = LineBlock(b"a\nb\r\nc", 7)
    assert [block.line(number) for number in (7, 8, 9)] == [b"a", b"b", b"c"]


@settings(deadline=None, max_examples=200)
@given(cut=st.integers(0, 10_000), size=st.sampled_from([1, 7, 300, 1 << 20]))
def test_of_a_gzip_file_that_is_cut_off_all_lines_before_the_cut_are_given(folder, cut, size):
    content = some_lines(60)
    packed = gzip.compress(content)
    packed = packed[: 3 + cut % (len(packed) - 3)]
    inflater = zlib.decompressobj(31)
    whole = inflater.decompress(packed) + inflater.flush()
    blocks = read(folder, packed, size)
    assert blocks[-1].damaged
    assert "the gzip file is damaged or cut off here" in blocks[-1].flaw
    kept = whole[: whole.rfind(b"\n") + 1]
    assert numbered(blocks) == expected(kept)
    assert blocks[-1].first == kept.count(b"\n") + 1
    assert blocks[-1].content == whole[len(kept) :]


def test_of_a_zstd_file_that_is_cut_off_all_lines_before_the_cut_are_given(folder):
    first, second = some_lines(3000), some_lines(4000)
    packed = zstd(first) + zstd(second)
    for left in (1, 100, len(zstd(second)) - 3):
        blocks = read(folder, packed[:-left], 1000)
        given = numbered(blocks)
        assert blocks[-1].damaged
        assert "the zstd file is damaged or cut off here" in blocks[-1].flaw
        assert blocks[-1].first == len(given) + 1
        assert list(given.items()) == list(expected(first + second).items())[: len(given)]
        assert len(given) >= 3000 - 1024 // 60  # of the last kilobyte nothing is given


@settings(deadline=None, max_examples=200)
@given(place=st.integers(10, 10_000), flip=st.integers(1, 255), size=st.sampled_from([1, 300, 1 << 20]))
def test_of_a_damaged_gzip_file_all_lines_before_the_damage_are_given(folder, place, flip, size):
    packed = bytearray(gzip.compress(some_lines(60)))
    packed[10 + place % (len(packed) - 10)] ^= flip
    inflater, whole = zlib.decompressobj(31), b""
    with contextlib.suppress(zlib.error):
        for at in range(len(packed)):
            whole += inflater.decompress(packed[at : at + 1])
    blocks = read(folder, bytes(packed), size)
    kept = whole[: whole.rfind(b"\n") + 1]
    assert blocks[-1].damaged
    assert numbered(blocks) == expected(kept)
    assert blocks[-1].first == kept.count(b"\n") + 1


def test_a_flipped_bit_is_noticed_at_the_end_mark(folder):
    packed = bytearray(gzip.compress(b"a\nb\n", compresslevel=0))
    packed[packed.index(b"a")] ^= 1
    blocks = read(folder, bytes(packed))
    assert numbered(blocks) == {1: b"`", 2: b"b"}
    assert blocks[-1].damaged


def test_what_follows_a_gzip_member_and_is_none_is_damage(folder):
    blocks = read(folder, gzip.compress(b"a\nb\n") + b"\0\0rubbish")
    assert numbered(blocks) == {1: b"a", 2: b"b"}
    assert (blocks[-1].damaged, blocks[-1].first) == (True, 3)


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(0, 150), min_size=1, max_size=12),
    block=st.sampled_from([1, 5, 20]),
    pack=st.sampled_from([bytes, gzip.compress]),
)
def test_a_line_that_is_too_long_is_refused_and_what_follows_keeps_its_number(folder, sizes, block, pack):
    bound = 64
    content = b"".join(b"x" * size + b"\n" for size in sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "LINE_BYTES", bound)
        blocks = read(folder, pack(content), block)
    kept = numbered(blocks)
    refused = {block.first: block for block in blocks if block.flaw}
    assert sorted([*kept, *refused]) == list(range(1, len(sizes) + 1))
    for number, size in enumerate(sizes, start=1):
        if size + 1 <= bound:  # between the two the cut decides
            assert kept[number] == b"x" * size
        if size > bound + block:
            assert refused[number].flaw == "the line is longer than 64 bytes"
            assert not refused[number].damaged
            assert set(refused[number].content) == {ord("x")}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_a_byte_order_mark_is_no_part_of_the_first_line(folder, pack, size):
    assert numbered(read(folder, pack(b"\xef\xbb\xbfa\nb\n"), size)) == {1: b"a", 2: b"b"}
    assert numbered(read(folder, pack(b"\xef"), size)) == {1: b"\xef"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
@pytest.mark.parametrize("size", [1, 1000])
def test_utf16_is_read_as_utf8_with_or_without_a_mark(folder, encoding, size):
    content = "a,é\n😀,b\n"
    for marked in (f"\ufeff{content}".encode(encoding), content.encode(encoding)):
        assert numbered(read(folder, marked, size)) == {1: "a,é".encode(), 2: "😀,b".encode()}


def test_an_empty_file_has_no_block(folder):
    assert read(folder, b"") == []
    assert read(folder, gzip.compress(b"")) == []
    assert read(folder, zstd(b"")) == []


def test_a_file_that_is_not_there_is_named(folder):
    with pytest.raises(MissingInputError, match=r"gone\.csv is not there\. Put the file there, or correct its name"):
        list(read_blocks(folder / "gone.csv"))


def test_many_small_members_give_no_more_blocks_than_one_large_one(folder):
    lines = [b"line %d\n" % number for number in range(3000)]
    blocks = read(folder, b"".join(gzip.compress(line, compresslevel=1) for line in lines), 20_000)
    assert b"".join(block.content for block in blocks) == b"".join(lines)
    assert len(blocks) <= 2 * sum(map(len, lines)) / 20_000 + 1


@pytest.mark.parametrize("content", [b"a\nbb\n\nccc\n", b"a\nbb\n\nccc", b"a\r\nbb\r\n\r\nccc\r\n"])
def test_checksums_are_of_the_lines_without_their_ends(content):
    assert LineBlock(content, first=7).checksums.tolist() == [zlib.crc32(line) for line in (b"a", b"bb", b"", b"ccc")]


@given(content=CONTENTS.filter(len))
def test_there_are_as_many_checksums_as_lines(content):
    block = LineBlock(content, first=1)
    assert block.checksums.tolist() == [zlib.crc32(line) for line in block.lines()]
