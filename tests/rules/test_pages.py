"""Pages as text: what they carry, what they never carry, and what they do with hostile words."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, UndefinedError
from jinja2.meta import find_referenced_templates
from typing_extensions import override

from doorward.account.activity import entries
from doorward.account.activity_words import Words
from doorward.web.forms import FieldType, FormField
from doorward.web.pages import Pages, filled, template_folders
from doorward.web.reference import example, reference
from doorward.web.translations import NAMES, Catalogues, direction
from tests.support.sample_pages import (
    ACTIVITY,
    ADA,
    DOCUMENT,
    IDENTIFIER,
    LEADERBOARD,
    PAGES,
    PASSWORD,
    RETURN,
    SESSIONS,
    rendered,
)

HOSTILE = (
    """</textarea></title></script><script>alert(1)</script>'"><img src=x onerror=alert(1)> {{ 7*7 }} %(name)s %"""
)
# Addresses that apps are registered for, where a person goes on by a click.
REGISTERED = {
    ("going-on", "href", RETURN),
    ("security-enough", "href", RETURN),
    ("forward-lost", "href", "https://wiki.example.org/"),
}
PAGE_LIMIT = 50_000  # bytes of the sign-in page, everything it loads included


@pytest.fixture(scope="module")
def pages() -> Pages:
    return Pages("Doorward", support="help@example.org")


class Elements(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html.decode())

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_every_template_is_among_the_samples() -> None:
    """What nobody samples, neither axe nor any test here looks at."""
    sources = {one.name: one.read_text() for folder in template_folders() for one in folder.glob("*.html")}
    sampled, waiting = set[str](), {template for template, *_ in PAGES.values()}
    while waiting:  # with all that they extend, include and import
        name = waiting.pop()
        sampled.add(name)
        used = find_referenced_templates(Environment(autoescape=True).parse(sources[name]))
        waiting |= {other for other in used if other is not None} - sampled
    assert sampled == set(sources)


@pytest.mark.asvs("3.4.3")
@pytest.mark.parametrize("sample", PAGES)
def test_a_page_holds_nothing_that_the_content_security_policy_forbids(pages: Pages, sample: str) -> None:
    """C39: no script or style of its own, no handlers, nothing from elsewhere."""
    elements = Elements(rendered(pages, sample))
    assert elements.named("style") == []
    assert all("src" in script and "integrity" in script for script in elements.named("script"))
    for _, attributes in elements.found:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        for link in ("href", "src", "action"):
            target = attributes.get(link) or ""
            assert (sample, link, target) in REGISTERED or re.match(r"(/(?!/)|#|mailto:|$)", target), target


@pytest.mark.parametrize("sample", PAGES)
@pytest.mark.parametrize("locale", NAMES)
def test_a_page_says_its_language_and_has_one_heading_and_a_title(pages: Pages, sample: str, locale: str) -> None:
    html = rendered(pages, sample, locale=locale)
    elements = Elements(html)
    assert elements.named("html")[0] | {"data-theme": ""} == {
        "lang": locale, "dir": direction(locale), "data-theme": "",
    }  # fmt: skip
    assert len(elements.named("h1")) == 1
    assert re.search(r"<title>[^<]+ – Doorward</title>", html.decode())


@pytest.mark.asvs("3.5.1")
@pytest.mark.parametrize("sample", PAGES)
def test_every_form_posts_with_a_csrf_token_and_a_real_button(pages: Pages, sample: str) -> None:
    for form in re.findall(r"<form.*?</form>", rendered(pages, sample).decode(), re.DOTALL):
        inside = Elements(form.encode())
        assert inside.named("form")[0]["method"] == "post"
        assert [field["value"] for field in inside.named("input") if field.get("name") == "csrf_token"] == ["t" * 43]
        # Passkeys need a script; it sends the form that has a place for what they answer.
        by_script = any(field.get("name") == "credential" for field in inside.named("input"))
        assert by_script or [button for button in inside.named("button") if button.get("type") != "button"]


@pytest.mark.parametrize("sample", PAGES)
def test_every_input_has_a_label_and_no_id_is_used_twice(pages: Pages, sample: str) -> None:
    elements = Elements(re.sub(rb"<template.*?</template>", b"", rendered(pages, sample), flags=re.DOTALL))
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = {label["for"] for label in elements.named("label")}
    for tag in ("input", "select", "textarea"):
        for field in elements.named(tag):
            assert field.get("type") == "hidden" or "hidden" in field or field["id"] in labelled
    for _, attributes in elements.found:
        described = attributes.get("aria-describedby") or ""
        assert set(described.split()) <= set(ids)


@pytest.mark.asvs("6.2.6", "6.2.7")
def test_password_fields_hide_take_pastes_of_any_length_and_name_their_purpose(pages: Pages) -> None:
    for sample, purpose in (("sign-up", "new-password"), ("sign-in", "current-password")):
        (password,) = [f for f in Elements(rendered(pages, sample)).named("input") if f.get("type") == "password"]
        assert password["autocomplete"] == purpose
        assert "maxlength" not in password
        assert "value" not in password


def test_a_page_with_errors_says_so_in_title_summary_and_field(pages: Pages) -> None:
    """UX-03, after the GOV.UK Design System."""
    html = rendered(pages, "sign-up-wrong").decode()
    assert "<title>Error: Create an account – Doorward</title>" in html
    assert '<a href="#field-uid">The username needs at least 2 characters</a>' in html
    (uid,) = [field for field in Elements(html.encode()).named("input") if field.get("name") == "uid"]
    assert uid["aria-invalid"] == "true"
    assert uid["aria-describedby"] == "field-uid-hint field-uid-error"


@pytest.mark.asvs("1.2.1")
@pytest.mark.parametrize("kind", ["text", "email", "number", "date", "textarea"])
def test_hostile_values_stay_text(pages: Pages, kind: FieldType) -> None:
    field = FormField("f", HOSTILE, kind, HOSTILE, hint=HOSTILE, error=HOSTILE)
    html = pages.render(
        "profile.html", locale="en", theme="light", user={"name": HOSTILE, "uid": HOSTILE}, csrf_token="t",
        path="/account", fields=[field], errors=[("f", HOSTILE)], facts=[(HOSTILE, HOSTILE)], email=HOSTILE,
        upgrade=True,
    )  # fmt: skip
    assert_inert(html)


def test_hostile_names_stay_text_in_lists(pages: Pages) -> None:
    values = {"coins": HOSTILE, "club": HOSTILE}
    member = replace(LEADERBOARD.rows[0], id=HOSTILE, name=HOSTILE, uid=HOSTILE, values=values)
    members = replace(LEADERBOARD, rows=[member], next_cursor=HOSTILE, own=member)
    sessions = [{**SESSIONS[1], "device": HOSTILE, "place": HOSTILE, "address": HOSTILE, "id": HOSTILE}]
    happening = replace(
        ACTIVITY[0].chief, id=HOSTILE, device=HOSTILE, address=HOSTILE, place=HOSTILE,
        words=Words("Your roles are now: %(roles)s", params={"roles": HOSTILE}, is_notable=True),
    )  # fmt: skip
    activity = {"entries": entries([happening]), "next_cursor": HOSTILE, "is_first": False, "not_me": True, "days": 90}
    for template, context in (
        ("members.html", {"members": members}),
        ("sessions.html", {"sessions": sessions}),
        ("activity.html", activity),
    ):
        html = pages.render(
            template, locale="en", theme="light", user=ADA, csrf_token="t", path=HOSTILE, **context
        )  # fmt: skip
        assert_inert(html)


def test_what_an_intruder_may_have_done_can_be_reported_where_there_is_somewhere_to(pages: Pages) -> None:
    """UX-53."""
    reported = re.findall(r'href="/account/not-me/(\w+)"', rendered(pages, "activity").decode())
    assert reported == [line.chief.id for line in ACTIVITY if line.chief.words.is_notable]
    assert 0 < len(reported) < len(ACTIVITY)
    assert b"/account/not-me" not in rendered(pages, "activity-plain")


def assert_inert(html: bytes) -> None:
    text = html.decode()
    assert "alert(1)</script>" not in text
    assert "<img" not in text
    assert "{{ 7*7 }}" in text  # nothing evaluated it
    assert not [a for _, a in Elements(html).found if any(name.startswith("on") for name in a)]


@given(st.text(), st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text()))
def test_filling_places_never_fails_and_never_makes_markup(text: str, params: dict[str, str]) -> None:
    assert not set("<>\"'") & set(filled(text, params))


def test_places_are_filled_with_escaped_values() -> None:
    assert filled("At least %(n)s, 100 %% sure, %(other)s", {"n": "<2"}) == "At least &lt;2, 100 % sure, %(other)s"
    assert filled("body fat in %", {}) == "body fat in %"


def test_a_name_nobody_gave_is_an_error(pages: Pages) -> None:
    with pytest.raises(UndefinedError):
        pages.render("sessions.html", locale="en", theme="light", user=ADA, csrf_token="t", path="/")


def test_the_sign_in_page_weighs_less_than_50_kilobytes(pages: Pages) -> None:
    """UX section 4: cold, uncompressed, with all that it loads."""
    html = rendered(pages, "sign-in-wait")
    loaded = [body for url, (_, body) in pages.static_files().items() if url.encode() in html]
    assert len(loaded) == 6
    assert len(html) + sum(map(len, loaded)) < PAGE_LIMIT


def test_the_style_sheet_and_the_scripts_keep_to_their_budgets(pages: Pages) -> None:
    bodies = pages.static_files()
    assert sum(len(body) for url, (_, body) in bodies.items() if url.endswith(".css")) <= 20_000
    scripts = {url: len(body) for url, (_, body) in bodies.items() if url.endswith(".js")}
    apart = ("mailbox", "passkey", "signal", "copy")  # for developers; of passkeys; where something is shown once
    assert sum(size for url, size in scripts.items() if not any(name in url for name in apart)) <= 12_000
    assert max(scripts.values()) <= 6_000


def test_the_style_sheet_has_no_left_and_right_where_languages_differ(pages: Pages) -> None:
    (css,) = [body.decode() for url, (_, body) in pages.static_files().items() if url.endswith(".css")]
    assert re.findall(r"[\s;{](?:margin|padding|border)-(?:left|right)|[\s;{](?:left|right|float):", css) == []


def test_a_static_file_is_named_by_its_content(pages: Pages) -> None:
    (found,) = [(url, media_type) for url, (media_type, _) in pages.static_files().items() if url.endswith(".css")]
    assert re.fullmatch(r"/static/doorward\.[0-9a-f]{12}\.css", found[0])
    assert found[1] == "text/css; charset=utf-8"


def test_an_unknown_theme_or_language_falls_back(pages: Pages) -> None:
    html = pages.render(
        "sign_in.html", locale="xx", theme='"><b', user=None, csrf_token="t", path="/sign-in",
        fields=[IDENTIFIER, replace(PASSWORD, hint="")], next="/account", recovery=True, by_email=False,
        passkeys=False,
    )  # fmt: skip
    assert b'<html lang="en" dir="ltr" data-theme="system">' in html


@pytest.mark.parametrize(
    ("accept_language", "chosen", "expected"),
    [
        (None, None, "en"),
        ("ar-EG, en;q=0.5", None, "ar"),
        ("en;q=0.5, ar;q=0.9", None, "ar"),
        ("fr, de;q=0.7", None, "de"),
        ("fr, it;q=0.7", None, "en"),
        ("de-AT, en;q=0.9", None, "de"),
        ("de-Latn-CH-1996", None, "de"),
        ("es-419, es;q=0.9, en;q=0.8", None, "es"),
        ("pt-BR, es;q=0.3, *;q=0.1", None, "es"),
        ("ar;q=0, en", None, "en"),
        ("AR", None, "ar"),
        ("en", "ar", "ar"),
        ("ar", "xx", "ar"),
        (";;;q=,=,\x00ar;q=high," * 1000, None, "en"),
        ("*", None, "en"),
    ],
)
def test_the_language_is_the_chosen_one_else_the_best_the_browser_asks_for(
    accept_language: str | None, chosen: str | None, expected: str
) -> None:
    assert Catalogues().negotiate(accept_language, chosen) == expected


def test_every_page_offers_every_language_in_its_own_name(pages: Pages) -> None:
    """UX-59; WCAG 3.1.2."""
    html = rendered(pages, "sign-in", locale="de").decode()
    (choice,) = re.findall(r'<select id="choose-lang".*?</select>', html, re.DOTALL)
    assert re.findall(r'<option value="(\w+)" lang="(\w+)"( selected)?>([^<]+)<', choice) == [
        ("en", "en", "", "English"), ("de", "de", " selected", "Deutsch"), ("es", "es", "", "Español"),
        ("ar", "ar", "", "العربية"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("en", "23 November 2026, 05:00 UTC"),
        ("de", "23. November 2026, 05:00 UTC"),
        ("es", "23 de noviembre de 2026, 05:00 UTC"),
        ("ar", "23 نوفمبر 2026، الساعة 05:00 بالتوقيت العالمي"),
    ],
)
def test_a_moment_is_written_as_its_language_writes_it(pages: Pages, locale: str, expected: str) -> None:
    (shown,) = re.findall(r"<time [^>]+>([^<]+)<", rendered(pages, "sign-in-wait", locale=locale).decode())
    assert shown == expected


def test_a_language_without_a_translation_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="no translation for xx; there are en, de, es, ar"):
        Catalogues(["en", "xx"])


def test_the_reference_shows_every_operation_with_a_curl_line() -> None:
    groups = reference(DOCUMENT).groups
    assert [(tag, [entry.method for entry in entries]) for tag, entries in groups.items()] == [
        ("Users", ["GET", "POST", "DELETE"]), ("Sessions", ["POST"]),
    ]  # fmt: skip
    delete = groups["Users"][2]
    assert delete.curl.startswith("curl -X DELETE 'https://id.example.org/api/users/{id}' \\\n  -H \"authorization:")
    assert "authorization" not in groups["Users"][1].curl  # signing up needs no token
    assert [(item.name, item.kind, item.required) for item in groups["Users"][1].body] == [
        ("uid", "string", True), ("dob", "string (date) or null", False),
    ]  # fmt: skip


def test_an_example_of_a_schema_that_holds_itself_ends() -> None:
    tree = {"type": "object", "properties": {"child": {"$ref": "#/tree"}}}
    assert "child" in example({"tree": tree}, tree)
