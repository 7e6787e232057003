"""Pictures from strangers (C46): what is kept is never what was sent."""

import io
import struct
import subprocess
import sys
import zipfile
import zlib
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from doorward_client.uploads import (
    Limits,
    NotAPicture,
    QuotaExceeded,
    TooLarge,
    UploadRefused,
    accept_image,
    headers_for,
)

KINDS = ["JPEG", "PNG", "WEBP"]
RED = (255, 0, 0)
END = b"\xff\xd9"  # of a JPEG
SCRIPT = b"<script>alert(1)</script>"


def picture(kind: str = "PNG", size: tuple[int, int] = (8, 6), mode: str = "RGB", **saved: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, RED if mode == "RGB" else 0).save(file, kind, **saved)
    return file.getvalue()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.asvs("5.2.2")
@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_kept_written_anew_under_a_name_of_ours(kind: str) -> None:
    sent = picture(kind, comment="x")
    kept, again = accept_image(sent), accept_image(sent)
    assert (kept.width, kept.height) == (8, 6)
    assert opened(kept.content).format == kind
    assert kept.media_type == f"image/{kind.lower()}"
    assert kept.name != again.name
    assert headers_for(kept.name)["Content-Type"] == kept.media_type


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_usual_png_can_be_read(mode: str) -> None:
    assert accept_image(picture("PNG", mode=mode)).width == 8


def test_grey_of_sixteen_bits_stays_as_grey_as_it_was() -> None:
    file = io.BytesIO()
    Image.new("I;16", (8, 6), 30_000).save(file, "PNG")
    assert opened(accept_image(file.getvalue()).content).getpixel((0, 0)) == 30_000 // 256


def test_of_the_two_pictures_that_phones_put_into_one_file_the_first_is_kept() -> None:
    file = io.BytesIO()
    first, second = (Image.new("L", (8, 6), grey) for grey in (10, 250))
    first.save(file, "MPO", save_all=True, append_images=[second])
    sent = file.getvalue()
    kept = opened(accept_image(sent).content)
    assert (kept.format, kept.getpixel((0, 0))) == ("JPEG", 10)
    with pytest.raises(NotAPicture, match="more in the file"):
        accept_image(sent + SCRIPT)


def test_a_jpeg_for_print_becomes_one_for_screens() -> None:
    assert opened(accept_image(picture("JPEG", mode="CMYK")).content).mode == "RGB"


def test_what_is_transparent_stays_so() -> None:
    by_colour = picture("PNG", mode="RGB", transparency=RED)
    assert opened(accept_image(by_colour).content).getpixel((0, 0)) == (*RED, 0)
    for kind in ("PNG", "WEBP"):
        assert opened(accept_image(picture(kind, mode="RGBA")).content).mode == "RGBA"


@pytest.mark.asvs("14.2.8")
@pytest.mark.parametrize("kind", KINDS)
def test_where_it_was_taken_is_gone_and_it_stands_upright(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif[0x010E] = "at home"
    exif.get_ifd(0x8825)[1] = "N"
    kept = accept_image(picture(kind, exif=exif.tobytes(), icc_profile=b"profile of mine"))
    assert (kept.width, kept.height) == (6, 8)
    assert not opened(kept.content).getexif()
    for word in (b"at home", b"profile of mine", b"Exif", b"EXIF", b"eXIf", b"iCCP", b"ICC"):
        assert word not in kept.content


def test_texts_and_comments_are_gone() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", SCRIPT.decode())
    info.add_itxt("XML:com.adobe.xmp", SCRIPT.decode())
    for sent in (picture("PNG", pnginfo=info), picture("JPEG", comment=SCRIPT), picture("WEBP", xmp=SCRIPT)):
        assert SCRIPT in sent
        assert SCRIPT not in accept_image(sent).content


# What is no picture --------------------------------------------------------------------------------------------------


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        written.writestr(zipfile.ZipInfo("a"), "b")
    return file.getvalue()


@pytest.mark.asvs("5.2.2", "5.3.1")
@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", b"<?xml version='1.0'?><svg/>",
     b"<!DOCTYPE html><html>", SCRIPT, b"GIF89a" + b"\0" * 40, b"BM" + b"\0" * 60, b"%PDF-1.7", b"MZ", b"\x7fELF",
     b"%!PS-Adobe-3.0 EPSF-3.0", b"\0\0\0\x20ftypavif", b"II*\0", b"RIFF\x04\0\0\0WAVE", archive(), b"\xff\xd8\xff",
     b"\x89PNG\r\n\x1a\n", b"RIFF\x04\0\0\0WEBP", b"\xff\xd8\xff\xd9", b" " + picture()],
    ids=lambda content: repr(content[:14]),
)  # fmt: skip
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(NotAPicture):
        accept_image(content)


@pytest.mark.asvs("5.2.2")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "more", [SCRIPT, archive(), b"<?php", b"GIF89a", b"%PDF-1.7", b"\0\0x"], ids=lambda more: repr(more[:6])
)
def test_what_is_something_else_as_well_is_refused(kind: str, more: bytes) -> None:
    with pytest.raises(NotAPicture, match="more in the file"):
        accept_image(picture(kind) + more)
    assert accept_image(picture(kind) + b"\0" * 100).width == 8


def test_a_web_page_with_the_first_bytes_of_a_picture_is_refused() -> None:
    for start in (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\xff\0\0\0WEBP"):
        with pytest.raises(NotAPicture):
            accept_image(start + SCRIPT)


def test_a_program_in_a_segment_of_its_own_does_not_come_through() -> None:
    sent = picture("JPEG")
    segment = b"\xff\xfe" + (len(SCRIPT) + 2).to_bytes(2, "big") + SCRIPT
    assert SCRIPT not in accept_image(sent[:2] + segment + sent[2:]).content


def noise(kind: str) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((40, 40), 90).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_that_is_cut_off_is_refused(kind: str) -> None:
    for kept in (1, 2, 20, 300, 600):
        with pytest.raises(NotAPicture):
            accept_image(noise(kind)[:-kept])


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_broken_is_refused_or_read_as_a_picture_and_nothing_worse_happens(kind: str) -> None:
    sent = noise(kind)
    for at in range(0, len(sent) - 8, 7):
        broken = sent[:at] + b"\xff\x00\xff\xff" + sent[at + 4 :]
        try:
            kept = accept_image(broken)
        except UploadRefused:
            continue
        assert opened(kept.content).size == (kept.width, kept.height)


# What is too much ----------------------------------------------------------------------------------------------------


def claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is this large."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.asvs("5.2.1")
def test_five_mebibytes_are_the_most() -> None:
    with pytest.raises(TooLarge):
        accept_image(b"\0" * (5 * 1024 * 1024 + 1))
    with pytest.raises(NotAPicture):
        accept_image(b"\0" * (5 * 1024 * 1024))


@pytest.mark.asvs("5.2.6")
@pytest.mark.parametrize("size", [(5001, 5000), (25_000_001, 1), (2**31 - 1, 2**31 - 1), (60_000, 60_000)])
def test_pixels_are_counted_before_any_is_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(TooLarge):
        accept_image(claiming(*size))


def progressive() -> tuple[bytes, bytes]:
    """A progressive JPEG without its end, and the last of the ten scans in it, which may come as often as one likes."""
    sent = picture("JPEG", progressive=True)
    return sent[:-2], sent[sent.rindex(b"\xff\xda") : -2]


@pytest.mark.asvs("5.2.1")
def test_the_rounds_over_a_progressive_picture_are_counted_before_any_is_made() -> None:
    start, scan = progressive()
    assert accept_image(start + 90 * scan + END).width == 8
    with pytest.raises(TooLarge, match="100 scans"):
        accept_image(start + 91 * scan + END)


@pytest.mark.asvs("5.2.1")
@pytest.mark.parametrize("bare", [b"\xff\x01", b"\xff\xd0", b"\xff\xd7"], ids=bytes.hex)
def test_no_scan_hides_in_a_segment_that_decoders_do_not_see(bare: bytes) -> None:
    """These have no length. Whoever reads one takes the FF DA that follows for it, and misses thousands of scans."""
    start, scan = progressive()
    hidden = (0xFFDA // len(scan) * scan).ljust(0xFFDA, b"\xff")
    with pytest.raises(TooLarge, match="100 scans"):
        accept_image(start + bare + hidden + END)


PEAKS = """
import re, sys
from concurrent.futures import ThreadPoolExecutor
from doorward_client.uploads import accept_image

content = sys.stdin.buffer.read()
for times in (1, 6):
    with ThreadPoolExecutor(times) as pool:
        list(pool.map(accept_image, [content] * times))
    # getrusage would count what the process that this one was forked from has had.
    print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.asvs("5.2.6")
def test_many_pictures_at_once_take_hardly_more_memory_than_one() -> None:
    sent = picture("WEBP", size=(2000, 2000), mode="RGBA", lossless=True)
    assert len(sent) < 1000
    done = subprocess.run([sys.executable, "-c", PEAKS], input=sent, capture_output=True, check=True)
    one, many = (int(line) for line in done.stdout.split())
    assert many < one * 2.5  # a little more, for what the allocator keeps


def test_what_is_written_is_counted_too() -> None:
    """A small file can hold a picture that is large when it is written as we do."""
    file = io.BytesIO()
    Image.effect_noise((300, 300), 90).convert("1").save(file, "PNG")
    sent = file.getvalue()
    with pytest.raises(TooLarge):
        accept_image(sent, limits=Limits(max_bytes=len(sent)))


def test_a_picture_can_be_made_smaller() -> None:
    kept = accept_image(picture(size=(400, 100)), limits=Limits(max_side=200))
    assert (kept.width, kept.height) == (200, 50)


@pytest.mark.asvs("5.2.4")
def test_who_has_no_room_is_told_so() -> None:
    asked: list[int] = []

    def quota(size: int) -> bool:
        asked.append(size)
        return len(asked) == 1

    kept = accept_image(picture(), quota=quota)
    assert asked == [len(kept.content)]
    with pytest.raises(QuotaExceeded):
        accept_image(picture(), quota=quota)


# Serving -------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("3.2.1", "5.4.1")
def test_it_is_served_as_what_it_is_and_as_nothing_else() -> None:
    said = headers_for(accept_image(picture("WEBP")).name)
    assert said["X-Content-Type-Options"] == "nosniff"
    assert said["Content-Security-Policy"].startswith("sandbox")
    assert said["Cache-Control"].startswith("private")


@pytest.mark.parametrize(
    "name", ["../../x.png", "a.png", f"{'0' * 32}.svg", f"{'0' * 32}.png\n", f"{'0' * 31}.png", ""]
)
def test_only_names_made_here_are_served(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        headers_for(name)
