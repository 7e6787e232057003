"""QR codes: exactly the matrix that the library computes, black on white, and nothing that a strict policy forbids."""

import re
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest
import segno

from doorward.authenticators.kinds.totp import new_secret, uri
from doorward.authenticators.qr import qr_svg

# The last is as long as the names of a site and a user can make it, percent-encoded.
TEXTS = [
    "x",
    uri(new_secret(), "Doorward", "anni@example.org"),
    uri(new_secret(), "\N{CAT FACE}" * 80, "\N{CAT FACE}" * 64),
]


def drawn(svg: str) -> list[list[int]]:
    """The modules that the paths blacken, by walking each line: one unit high, on the middle of its row."""
    root = ET.fromstring(svg)  # noqa: S314  our own
    side = int(root.attrib["viewBox"].split()[2])
    cells = [[0] * side for _ in range(side)]
    (path,) = (element for element in root if "stroke" in element.attrib)
    assert path.attrib["stroke"] == "#000"
    assert "stroke-width" not in path.attrib  # 1 by default
    x = y = 0.0
    steps = re.findall(r"([Mm])(-?[\d.]+) (-?[\d.]+)h(\d+)", path.attrib["d"])
    assert "".join(f"{verb}{dx} {dy}h{run}" for verb, dx, dy, run in steps) == path.attrib["d"]
    for verb, dx, dy, run in steps:
        x, y = (float(dx), float(dy)) if verb == "M" else (x + float(dx), y + float(dy))
        for column in range(int(x), int(x) + int(run)):
            assert y % 1 == 0.5
            cells[int(y)][column] += 1
        x += float(run)
    return cells


@pytest.mark.parametrize("text", TEXTS, ids=["short", "usual", "long"])
def test_what_is_drawn_is_the_librarys_matrix_in_its_quiet_zone(text: str) -> None:
    expected = [list(row) for row in segno.make_qr(text, error="l").matrix_iter(border=4)]
    assert drawn(qr_svg(text)) == expected
    assert not any(map(sum, (*expected[:4], *expected[-4:])))


@pytest.mark.parametrize("text", TEXTS, ids=["short", "usual", "long"])
def test_the_ground_is_white_to_the_edge_whatever_the_page_looks_like(text: str) -> None:
    root = ET.fromstring(qr_svg(text))  # noqa: S314  our own
    side = root.attrib["viewBox"].split()[2]
    assert root.attrib["viewBox"] == f"0 0 {side} {side}"
    ground = root[0]
    assert (ground.tag, ground.attrib) == ("path", {"fill": "#fff", "d": f"M0 0h{side}v{side}h-{side}z"})
    assert int(root.attrib["width"]) == int(root.attrib["height"]) == 4 * int(side)


@pytest.mark.asvs("3.4.3")
def test_it_can_stand_in_a_page_under_a_strict_policy() -> None:
    for text in (*TEXTS, "<script>alert(1)</script>", '" onload="alert(1)', "</svg><img src=x>"):
        svg = qr_svg(text)
        root = ET.fromstring(svg)  # noqa: S314  our own
        assert {element.tag for element in root.iter()} == {"svg", "path"}
        names = {name for element in root.iter() for name in element.attrib}
        assert names == {"width", "height", "viewBox", "class", "shape-rendering", "aria-hidden", "fill", "stroke", "d"}
        assert not re.search(r"style|script|<\?|<!|url\(|href|\bon\w+=", svg)
        assert text == "x" or text not in svg


def test_assistive_technology_hears_the_name_around_it_only() -> None:
    root = ET.fromstring(qr_svg("x"))  # noqa: S314  our own
    assert root.attrib["aria-hidden"] == "true"
    assert not "".join(root.itertext()).strip()


def test_more_than_fits_is_an_error() -> None:
    with pytest.raises(ValueError, match="Data too large"):
        qr_svg("x" * 2_954)


def test_qr_codes_cost_nothing_until_one_is_drawn() -> None:
    code = "import sys, doorward.app, doorward.authenticators.qr; print('segno' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
