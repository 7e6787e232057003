"""QR codes to be shown within a page."""

from typing import Final

_QUIET: Final = 4  # modules around it, ISO/IEC 18004
_PIXELS: Final = 4  # for each module, where no style sheet says otherwise


def qr_svg(text: str) -> str:
    """Draw `text` as inline SVG, black on white in dark mode, too; markup that needs no escaping. Takes milliseconds.

    It holds nothing that our policy forbids. Assistive technology passes it over: what it is stands on the element
    around it (`role="img"` and a name), and what it says stands beside it as text. Call it in a thread. Raises
    ValueError for more than fits, 2,953 bytes.
    """
    import segno  # noqa: PLC0415  30 ms to import; only who sets up an app needs it

    # No dirt on a screen: least correction, largest modules. What is left over goes into correction by itself.
    code = segno.make_qr(text, error="l")
    width, height = code.symbol_size(scale=_PIXELS, border=_QUIET)
    svg = code.svg_inline(border=_QUIET, dark="#000", light="#fff", svgclass="qr", lineclass=None, omitsize=True)
    # Rows are lines of one unit each: smoothed edges would leave hairs of white between them.
    attributes = f'width="{width}" height="{height}" shape-rendering="crispEdges" aria-hidden="true"'
    return f"<svg {attributes}{svg.removeprefix('<svg')}"
