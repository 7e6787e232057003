"""What a person is shown who is not let through and could not be sent anywhere else."""

import base64
import hashlib
from html import escape

from doorward_client.errors import (
    Forbidden,
    ForgedRequest,
    InsufficientAuthentication,
    InvalidToken,
    NotSignedIn,
    Refused,
    SignInFailed,
    Unavailable,
)

_STYLE = """
:root { color-scheme: light dark; font: 1.125rem/1.5 system-ui, sans-serif; }
body { max-width: 34rem; margin: 12vh auto; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem; }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{text}</p>
{link}</main>
</body>
</html>
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; img-src data:; style-src 'sha256-{_HASH}'; base-uri 'none'; frame-ancestors 'none'"

_WITH_A_LINK = (NotSignedIn, InvalidToken, InsufficientAuthentication, SignInFailed)


def page_for(refused: Refused, again: str) -> bytes | None:
    """A page in HTML, or None when only a program can have asked. `again`: where a new sign-in begins."""
    said: tuple[str, str] | None = None
    match refused:
        case NotSignedIn() | InvalidToken():  # a form: pages that are only read lead to the sign-in by themselves
            said = "You are not signed in", "Nothing was changed. Sign in, and do it once more."
        case InsufficientAuthentication():
            said = "Show again that it is you", "Nothing was changed. Sign in once more for this, and repeat it."
        case SignInFailed(description=reason):
            said = "The sign-in did not succeed", f"What came back: {reason}."
        case Unavailable():
            said = "Sign-in does not answer", "It cannot be told now who you are. Please try again in a moment."
        case Forbidden():
            said = "You may not open this page", "You are signed in, but lack a right that this page needs."
        case ForgedRequest():
            said = "That was not done", "The page it came from was out of date, or not one of ours. Open it again."
        case _:
            pass
    if said is None:
        return None
    link = f'<p><a href="{escape(again)}">Sign in again</a></p>\n' if isinstance(refused, _WITH_A_LINK) else ""
    title, text = said
    return _PAGE.format(title=title, style=_STYLE, text=escape(text), link=link).encode()
