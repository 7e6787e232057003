"""Pictures from strangers, made safe to keep and to serve: `accept_image` is all there is to call.

What is kept is never what was sent: it is decoded and written anew, without metadata, under a name made here. That may
take a few seconds and 500 MB for the largest pictures, so a process makes one at a time while the others wait, and an
asynchronous app calls it in a thread. Needs Pillow (the extra `uploads`).
"""

import io
import re
import secrets
import threading
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageOps

MiB = 1 << 20
QUALITY = 88
MAX_SCANS = 100  # of a JPEG: each goes over all of the picture, and takes the sender a few bytes; cameras write ten
Kind = Literal["JPEG", "PNG", "WEBP"]
_MEDIA = {"JPEG": ("image/jpeg", "jpg"), "PNG": ("image/png", "png"), "WEBP": ("image/webp", "webp")}
# 45 KiB of WebP can take 500 MB, which is bearable once in a process. The thread is one of its own because allocators
# keep some of that for every thread that ever had it.
_ONE_AT_A_TIME = threading.Lock()
_NAME = re.compile(r"[0-9a-f]{32}\.(?:jpg|png|webp)")
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_PNG_MODES = {"1": "L", "L": "L", "LA": "LA", "P": "RGBA", "PA": "RGBA", "RGB": "RGB", "RGBA": "RGBA"}


class UploadRefused(ValueError):  # noqa: N818  named for what happened
    """A picture that is not taken. `status` is a fitting HTTP status; the text may be shown to who sent it."""

    status = 400


class TooLarge(UploadRefused):
    """Too many bytes, too many pixels, or too many rounds over them."""

    status = 413


class NotAPicture(UploadRefused):
    """Not a JPEG, PNG or WebP, broken, or one that is something else as well."""

    status = 415


class QuotaExceeded(UploadRefused):
    """The user has no room for it."""

    status = 413


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken. `max_side`: larger pictures are made smaller; None leaves them as they are."""

    max_bytes: int = 5 * MiB
    max_pixels: int = 25_000_000
    max_side: int | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to keep, under `name`."""

    content: bytes
    media_type: str
    name: str
    width: int
    height: int


USUAL = Limits()


def accept_image(content: bytes, *, limits: Limits = USUAL, quota: Callable[[int], bool] | None = None) -> Picture:
    """Turn what was sent into a picture to keep. Raises UploadRefused of one kind or another.

    Neither the file's name nor its declared type is asked for: the type is that of the content, and the name is ours.
    `quota` is asked whether the user has room for so many bytes, once they are known; reserve them there.
    """
    if len(content) > limits.max_bytes:
        raise TooLarge(f"The picture has more than {limits.max_bytes // MiB} MiB")
    kind = _kind(content)
    with _ONE_AT_A_TIME, ThreadPoolExecutor(1) as thread:
        written, (width, height) = thread.submit(_anew, content, kind, limits).result()
    if len(written) > limits.max_bytes:
        raise TooLarge(f"The picture has more than {limits.max_bytes // MiB} MiB")
    if quota is not None and not quota(len(written)):
        raise QuotaExceeded("There is no room for another picture")
    media_type, ending = _MEDIA[kind]
    return Picture(written, media_type, f"{secrets.token_hex(16)}.{ending}", width, height)


def headers_for(name: str) -> Mapping[str, str]:
    """The headers to serve a kept picture with. Raises ValueError for a name that was not made here.

    The type is fixed and not to be guessed at, and should all else fail nothing in it runs. Whether who asks may see
    it is for the app to check.
    """
    if _NAME.fullmatch(name) is None:
        raise ValueError("not a name of ours")
    ending = name.rpartition(".")[2]
    return {
        "Content-Type": next(media for media, known in _MEDIA.values() if known == ending),
        "Content-Disposition": "inline",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, max-age=3600",
    }


def _kind(content: bytes) -> Kind:
    """Find out what it is by its content, which must be that from the first byte to the last."""
    if content.startswith(_PNG):
        kind, end = "PNG", _end_of_png(content)
    elif content.startswith(_JPEG):
        kind, end = "JPEG", _end_of_jpeg(content)
        while content.startswith(_JPEG, end):  # phones append a preview, or what makes it brighter; the first is kept
            end = _end_of_jpeg(content, end)
    elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        size = int.from_bytes(content[4:8], "little")
        kind, end = "WEBP", 8 + size + size % 2
    else:
        raise NotAPicture("The picture is no JPEG, PNG or WebP")
    # What stands behind the end may be a web page, an archive or a program; zeros are padding.
    if end > len(content) + 1 or content[end:].strip(b"\0"):
        raise NotAPicture("There is more in the file than a picture")
    return kind  # type: ignore[return-value]  # one of the three above


def _end_of_png(content: bytes) -> int:
    at = len(_PNG)
    while at + 12 <= len(content):
        length, name = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        at += 12 + length
        if name == b"IEND":
            return at
    raise NotAPicture("The picture is cut off")


def _end_of_jpeg(content: bytes, start: int = 0) -> int:
    """Where the end marker stands (ITU-T T.81 annex B): segments say how long they are, image data does not.

    Raises TooLarge for more scans than any camera writes.
    """
    at, scans = start + 2, 0
    while at + 4 <= len(content) and content[at] == 0xFF:  # noqa: PLR2004  every marker begins so
        marker = content[at + 1]
        if marker == 0xD9:  # noqa: PLR2004  EOI
            return at + 2
        if marker == 0xFF:  # noqa: PLR2004  filling
            at += 1
            continue
        if marker in _BARE:
            at += 2
            continue
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == 0xDA:  # noqa: PLR2004  SOS: compressed data, in which FF is followed by 00 or a restart marker
            scans += 1
            if scans > MAX_SCANS:
                raise TooLarge(f"The picture has more than {MAX_SCANS} scans")
            found = _MARKER.search(content, at)
            at = len(content) if found is None else found.start()
    if content[at : at + 2] == b"\xff\xd9":
        return at + 2
    raise NotAPicture("The picture is cut off")


_BARE = {0x01, *range(0xD0, 0xD8)}  # TEM and RST: markers that no length follows
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def _anew(content: bytes, kind: Kind, limits: Limits) -> tuple[bytes, tuple[int, int]]:
    picture = _decoded(content, kind, limits)
    return _written(picture, kind), picture.size


def _decoded(content: bytes, kind: Kind, limits: Limits) -> Image.Image:
    """Decode with the one decoder that is meant, and turn upright."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of sizes that we refuse or bear
            picture: Image.Image = Image.open(io.BytesIO(content), formats=[kind])
            _insist_on_bearable(picture, limits)  # known from the header; nothing is decoded yet
            picture.load()
            ImageOps.exif_transpose(picture, in_place=True)
            if limits.max_side is not None:
                picture.thumbnail((limits.max_side, limits.max_side))
            return picture.copy()  # the decoder of a WebP keeps two more of it for as long as it lives
    except UploadRefused:
        raise
    except Image.DecompressionBombError as error:
        raise TooLarge("The picture has too many pixels") from error
    except Exception as error:
        raise NotAPicture("The picture is broken") from error


def _insist_on_bearable(picture: Image.Image, limits: Limits) -> None:
    if picture.width * picture.height > limits.max_pixels:
        raise TooLarge(f"The picture has more than {limits.max_pixels // 1_000_000} million pixels")


def _written(picture: Image.Image, kind: Kind) -> bytes:
    """Write the pixels anew, and nothing but the pixels: what the decoder kept of metadata stays behind."""
    if kind == "JPEG":
        mode = "L" if picture.mode == "L" else "RGB"
    elif kind == "PNG":
        mode = _PNG_MODES.get(picture.mode, "L")
        if picture.mode == "I;16":  # `convert` would cut off at 255
            picture = picture.point(lambda value: value / 256, "L")
    else:
        mode = "RGBA" if picture.mode == "RGBA" else "RGB"
    if "transparency" in picture.info and kind != "JPEG":
        mode = "RGBA"
    bare = picture if picture.mode == mode else picture.convert(mode)
    bare.info.clear()
    file = io.BytesIO()
    bare.save(file, kind, **({} if kind == "PNG" else {"quality": QUALITY}))
    return file.getvalue()
