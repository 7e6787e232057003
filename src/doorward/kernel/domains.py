"""Domain names, as the DNS tells them apart."""

import unicodedata

import idna

# The one thing here that is not Python's own: its codec knows IDNA 2003 only, for which "ß" and "ss" are one.


def ascii_domain(domain: str) -> str:
    """A domain in A-labels and small letters (RFC 5891, UTS #46). "ß" stays itself: mapped to "ss" it is another's.

    Raises ValueError for what is no domain.
    """
    return idna.encode(domain, uts46=True, std3_rules=True).decode("ascii").lower()


def domain_key(domain: str) -> str:
    """What two domains are compared by: A-labels where there are some, else the text as it is, in small letters."""
    plain = domain.strip().strip(".")
    try:
        return ascii_domain(plain)
    except ValueError:  # idna.IDNAError is one
        return unicodedata.normalize("NFC", plain).lower()
