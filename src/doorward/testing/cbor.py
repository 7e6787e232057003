"""Just enough CBOR (RFC 8949) to write what an authenticator writes, in the order of CTAP2."""

from collections.abc import Mapping, Sequence

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP = (major << 5 for major in range(6))
_FALSE, _TRUE = b"\xf4", b"\xf5"
_IN_HEAD = 24  # smaller numbers stand in the first byte


def encode(value: object) -> bytes:
    """The bytes of whole numbers, bytes, text, lists, maps and booleans. Raises TypeError for anything else."""
    match value:
        case bool():
            return _TRUE if value else _FALSE
        case int():
            return _head(_UNSIGNED, value) if value >= 0 else _head(_NEGATIVE, -1 - value)
        case bytes():
            return _head(_BYTES, len(value)) + value
        case str():
            text = value.encode()
            return _head(_TEXT, len(text)) + text
        case Mapping():
            members = sorted(((encode(name), encode(one)) for name, one in value.items()), key=_canonical)
            return _head(_MAP, len(members)) + b"".join(name + one for name, one in members)
        case Sequence():
            return _head(_ARRAY, len(value)) + b"".join(encode(one) for one in value)
        case _:
            raise TypeError(type(value).__name__)


def _canonical(member: tuple[bytes, bytes]) -> tuple[int, int, bytes]:
    """CTAP 2.1 §8: by the type of the name, then the shorter first, then by its bytes."""
    name = member[0]
    return name[0] >> 5, len(name), name


def _head(major: int, number: int) -> bytes:
    if number < _IN_HEAD:
        return bytes([major | number])
    size = next(size for size in range(4) if number < 1 << (8 << size))
    return bytes([major | (_IN_HEAD + size)]) + number.to_bytes(1 << size, "big")
