"""What is kept of the picture of a plate, and which pictures are not."""

import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.pictures import MAX_BYTES, NotACrop, cleaned, crop_of
from tests.support.pictures import NAMED, PLATE, chunk, png, segment, sized, with_segment

JFIF = 2 + 18  # where the encoder's own header ends, which is left out


def refusal(data: bytes) -> str:
    with pytest.raises(NotACrop) as refused:
        cleaned(data)
    assert refused.value.args == (refused.value.reason,)
    return refused.value.reason


def test_a_plate_is_kept_but_for_its_header_for_readers() -> None:
    assert cleaned(PLATE) == PLATE[:2] + PLATE[JFIF:]
    assert cleaned(cleaned(PLATE)) == cleaned(PLATE)
    assert crop_of(b"abc").sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert crop_of(cleaned(PLATE)).sha256 == hashlib.sha256(PLATE[:2] + PLATE[JFIF:]).hexdigest()


@pytest.mark.parametrize(
    ("marker", "body"),
    [
        (0xE1, b"Exif\0\0" + NAMED),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + NAMED),
        (0xE0, b"JFXX\0\x10" + PLATE),  # a thumbnail
        (0xE2, b"ICC_PROFILE\0" + NAMED),
        (0xED, b"Photoshop 3.0\0" + NAMED),
        (0xEE, b"Adobe" + b"\0" * 7 + NAMED),
        (0xFE, NAMED),
    ],
)
def test_what_is_no_picture_is_left_out(marker: int, body: bytes) -> None:
    assert cleaned(with_segment(marker, body)) == cleaned(PLATE)


def test_what_follows_the_end_is_left_out() -> None:
    for tail in (NAMED, b"PK\x03\x04" + NAMED, b"<script>" + NAMED, PLATE):
        assert cleaned(PLATE + tail) == cleaned(PLATE)
        assert cleaned(png() + tail) == cleaned(png())


def test_how_the_colours_are_to_be_read_is_kept() -> None:
    adobe = b"Adobe\0\x64\0\0\0\0\0"
    assert segment(0xEE, adobe) in cleaned(with_segment(0xEE, adobe))


@pytest.mark.parametrize(
    "more",
    [(b"tEXt", b"Comment\0" + NAMED), (b"zTXt", b"C\0\0" + zlib.compress(NAMED)), (b"eXIf", NAMED), (b"prVt", NAMED)],
)
def test_a_png_is_written_anew(more: tuple[bytes, bytes]) -> None:
    clean = cleaned(png(more=chunk(*more)))
    assert clean == cleaned(png())
    assert NAMED not in clean
    assert cleaned(clean) == clean


def test_a_png_with_a_palette_keeps_it() -> None:
    palette = chunk(b"PLTE", bytes(range(48)))
    rows = (b"\0" + b"\1" * 64) * 20
    assert palette in cleaned(png(colour=3, pixels=rows, more=palette))
    assert refusal(png(colour=3, pixels=rows)) == "damaged"
    assert refusal(png(colour=3, pixels=rows, more=chunk(b"PLTE", NAMED[:20]))) == "damaged"


@pytest.mark.parametrize(
    ("width", "height"), [(320, 240), (1920, 1080), (513, 100), (100, 201), (7, 20), (64, 7), (0, 0), (65535, 65535)]
)
def test_what_is_not_as_small_as_a_plate_is_refused(width: int, height: int) -> None:
    assert refusal(sized(width, height)) == "dimensions"
    assert refusal(png(width, height, pixels=b"")) == "dimensions"


def test_the_largest_plate_is_taken() -> None:
    assert cleaned(sized(512, 200))
    assert cleaned(png(512, 200))


def test_a_bomb_is_not_set_off() -> None:
    """Ten megabytes of zeros are ten kilobytes; the header promises twenty rows."""
    assert refusal(png(pixels=bytes(10_000_000))) == "damaged"
    assert refusal(png(64_000, 64_000, pixels=bytes(1000))) == "dimensions"
    assert refusal(png(pixels=bytes(65 * 20 - 1))) == "damaged"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<JPEG>",
        b"GIF89a" + b"\0" * 100,
        b"RIFF\0\0\0\0WEBP",
        b"%PDF-1.4",
        b"\xff\xd8",
        b"MZ" + PLATE,
        b" " + PLATE,
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    ],
)
def test_what_is_neither_jpeg_nor_png_is_no_picture(data: bytes) -> None:
    assert refusal(data) == "not_a_picture"


def test_a_container_in_a_pictures_clothes_is_refused() -> None:
    """More bytes than so few pixels can need; tables with something after them; two pictures; unknown markers."""
    scan = PLATE.index(b"\xff\xda")
    quantisation = PLATE.index(b"\xff\xdb")
    assert refusal(PLATE[:-2] + NAMED * 500 + PLATE[-2:]) == "damaged"
    assert refusal(PLATE[:quantisation] + segment(0xDB, bytes(65) + NAMED) + PLATE[quantisation:]) == "damaged"
    assert refusal(PLATE[:quantisation] + segment(0xC4, bytes(17) + NAMED) + PLATE[quantisation:]) == "damaged"
    assert refusal(PLATE[:quantisation] + segment(0xDD, NAMED) + PLATE[quantisation:]) == "damaged"
    assert refusal(PLATE[:scan] + sized(64, 20)[PLATE.index(b"\xff\xc0") :]) == "damaged"
    for marker in (0xC3, 0xC5, 0xC9, 0xCC, 0xDC, 0xDE, 0xF0, 0xFD, 0x01, 0xD8):
        assert refusal(with_segment(marker, NAMED)) == "damaged"
    assert refusal(png(interlace=1)) == "damaged"
    assert refusal(png(colour=1)) == "damaged"
    assert refusal(png(pixels=(b"\x09" + bytes(64)) * 20)) == "damaged"
    assert refusal(png()[:-1]) == "damaged"
    assert refusal(png().replace(b"IEND", b"IENX")) == "damaged"


def test_too_many_bytes_are_not_looked_at() -> None:
    assert refusal(PLATE + bytes(MAX_BYTES)) == "too_large"


@given(st.integers(0, len(PLATE)))
def test_a_picture_that_was_cut_short_is_refused(length: int) -> None:
    if length < len(PLATE):
        assert refusal(PLATE[:length]) in ("damaged", "not_a_picture")


@given(st.data())
def test_any_bytes_are_a_crop_or_a_reason(data: st.DataObject) -> None:
    base = bytearray(data.draw(st.sampled_from([PLATE, png(), with_segment(0xFE, NAMED)])))
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(base) - 1), st.integers(0, 255)), max_size=8)):
        base[at] = value
    try:
        once = cleaned(bytes(base))
    except NotACrop:
        return
    assert cleaned(once) == once
    assert len(once) <= len(base) + 64


@given(st.binary(max_size=300), st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b""]))
def test_noise_is_refused(noise: bytes, start: bytes) -> None:
    assert refusal(start + noise) in ("damaged", "not_a_picture", "dimensions")
