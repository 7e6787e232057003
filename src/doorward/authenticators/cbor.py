"""Whether bytes from strangers are CBOR as authenticators write it (CTAP 2.1 §8): asked before a full reader gets them.

A full reader makes objects of tags: regular expressions, mails, references in a circle. Eight kilobytes of one regular
expression keep cbor2 busy for five seconds, and authenticators use no tags at all.
"""

from typing import Final

MAX_DEPTH: Final = 8  # an attestation object takes 3 levels
_FOLLOWS, _INDEFINITE = 24, 28  # of the five low bits: the value follows, in 1 to 8 bytes; what is not allowed here
_BYTES, _TEXT, _ARRAY, _MAP, _TAG = 2, 3, 4, 5, 6


class NotPlain(ValueError):  # noqa: N818  named for what the bytes are
    """The bytes are cut off, too deep, or hold what no authenticator writes."""


def end_of_item(data: bytes, start: int = 0, *, depth: int = 0) -> int:
    """Where the item that begins at `start` ends; each byte is looked at once at most.

    Raises NotPlain for a tag, an indefinite length, more than MAX_DEPTH levels, and bytes that end too early.
    """
    if start >= len(data):
        raise NotPlain("cut off")
    major, value = data[start] >> 5, data[start] & 0x1F
    end = start + 1
    if major == _TAG or value >= _INDEFINITE:
        raise NotPlain("a tag or an indefinite length")
    if value >= _FOLLOWS:
        begin, end = end, end + (1 << value - _FOLLOWS)
        value = int.from_bytes(data[begin:end], "big")
    if major in {_ARRAY, _MAP}:
        if depth == MAX_DEPTH:
            raise NotPlain("too deep")
        for _ in range(value if major == _ARRAY else 2 * value):
            end = end_of_item(data, end, depth=depth + 1)
    elif major in {_BYTES, _TEXT}:
        end += value
    if end > len(data):
        raise NotPlain("cut off")
    return end
