"""Small requests that would keep a process busy for long. ASVS 15.2.2. Work is counted in steps, not timed."""

import unicodedata
from typing import Any

import pytest

from doorward.kernel.text import NORMALISED_LONGEST, normalise_password
from tests.http.conftest import World

MARKS = "a" + "\N{COMBINING ACUTE ACCENT}\N{COMBINING GRAVE ACCENT BELOW}" * 14_000


@pytest.mark.asvs("15.2.2")
async def test_nothing_long_is_normalised(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    longest = 0
    original = unicodedata.normalize

    def measured(form: Any, text: str) -> str:
        nonlocal longest
        longest = max(longest, len(text))
        return original(form, text)

    monkeypatch.setattr(unicodedata, "normalize", measured)
    visitor = world.visitor()
    for field in ("uid", "name", "password", "motto"):
        body = {"uid": "ada", "name": "Ada", "password": "seven quiet herons", field: MARKS}
        assert (await visitor.post("/api/users", body)).status_code == 400
    await visitor.post("/api/sessions", {"identifier": "ada", "password": MARKS[:5_000]})
    await visitor.post("/api/sessions", {"identifier": MARKS[:300], "password": "x"})

    assert 0 < longest <= NORMALISED_LONGEST


def test_what_is_too_long_is_still_too_long() -> None:
    assert len(normalise_password("e\N{COMBINING ACUTE ACCENT}" * 600)) > 256
