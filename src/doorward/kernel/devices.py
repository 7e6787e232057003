"""A browser's User-Agent in words people know (UX-51). Unknown ones are called a program or a browser, never echoed."""

from doorward.kernel.msgid import msgid

_BROWSERS = (  # the first that matches wins: most browsers also claim to be others
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Vivaldi", "Vivaldi"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("HeadlessChrome", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Ubuntu", "Ubuntu"),
    ("Debian", "Debian"),
    ("Linux", "Linux"),
)


def describe(user_agent: str) -> str:
    """For example "Firefox on Debian"."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), None)
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), None)
    if browser is None:
        return msgid("A browser") if user_agent.startswith("Mozilla/") else msgid("A program")
    return browser if system is None else f"{browser} on {system}"
