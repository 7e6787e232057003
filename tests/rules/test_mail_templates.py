"""Every message in every language: what it carries, what it never carries, and what hostile words do to it."""

import re
import unicodedata
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from doorward.confirmations import LIFETIME_SECONDS
from doorward.kernel.startup import StartRefused
from doorward.messages.addressing import greetable, one_line
from doorward.messages.model import MAILS, TEXTS
from doorward.messages.rendering import LOGO_BYTES, RenderedMail, Renderer
from doorward.web.translations import NAMES, Catalogues, direction

ROOT = Path(__file__).parents[2]
OURS = ROOT / "src/doorward/messages/mails"
URL = "https://id.example.org"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
# What an owner is told of, and what must not teach them to sign in from a mail (C28).
WITH_A_WAY_BACK = (
    "password_changed", "phone_changed", "new_device", "factor_added", "factor_removed", "factor_failed",
    "factors_reset", "recovery_codes_made", "recovery_code_used", "app_ended", "api_key_created", "api_key_rotated",
)  # fmt: skip
NOTICES = (*WITH_A_WAY_BACK, "email_changed", "many_failures", "account_reported", "account_leaving", "account_erased")
# GSM 03.38, the basic table: a text message of other letters holds 70 of them, not 160.
GSM = frozenset("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
                "abcdefghijklmnopqrstuvwxyzäöñüà")  # fmt: skip
TAGS = re.compile(r"<(style|title)>.*?</\1>|<[^>]*>", re.DOTALL)


def renderer(
    public_url: str = URL, site_name: str = "Example", logo: Path | None = None, overrides: Path | None = None
) -> Renderer:
    return Renderer(public_url, site_name, "", logo, overrides)


@pytest.fixture(scope="module")
def ours() -> Renderer:
    return renderer()


class Elements(HTMLParser):
    """Start tags with their attributes, and what is left to read."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def values(self, attribute: str) -> set[str]:
        return {attributes[attribute] or "" for _, attributes in self.found if attribute in attributes}


def words(html: str) -> str:
    return TAGS.sub(" ", html)


every_mail = pytest.mark.parametrize("template", MAILS)
every_language = pytest.mark.parametrize("locale", NAMES)


def test_there_is_one_template_of_each_kind_for_each_message() -> None:
    wanted = {f"{name}.{kind}" for name in MAILS for kind in ("txt", "html")} | {f"{name}.sms" for name in TEXTS}
    assert {path.name for path in OURS.iterdir()} == wanted | {"layout.txt", "layout.html", "parts.txt", "parts.html"}


@every_mail
@every_language
def test_a_mail_has_one_subject_line_text_and_html_in_its_language(ours: Renderer, template: str, locale: str) -> None:
    mail = ours.mail(template, locale, MAILS[template])
    assert mail.subject
    assert mail.subject.isprintable()
    assert len(mail.subject) < 80
    assert len(mail.text.splitlines()) > 4
    elements = Elements(mail.html)
    (html,) = [attributes for tag, attributes in elements.found if tag == "html"]
    assert html == {"lang": locale, "dir": direction(locale)}
    (sheet,) = [attributes for tag, attributes in elements.found if tag == "div" and "lang" in attributes]
    assert sheet["dir"] == direction(locale)  # for programs that drop <html>
    assert ("text-align:right" in (sheet["style"] or "")) == (direction(locale) == "rtl")
    assert f"<title>{mail.subject}</title>" in mail.html


@every_mail
@every_language
def test_text_and_html_say_the_same(ours: Renderer, template: str, locale: str) -> None:
    mail = ours.mail(template, locale, MAILS[template])
    seen = re.sub(r"\W", "", words(mail.html))
    for line in mail.text.splitlines():
        assert re.sub(r"\W", "", line) in seen, line


@every_mail
@every_language
def test_a_mail_loads_nothing_runs_nothing_and_leads_to_one_host(ours: Renderer, template: str, locale: str) -> None:
    """UX-54: no tracking. C23: links come from public_url."""
    mail = ours.mail(template, locale, MAILS[template])
    elements = Elements(mail.html)
    tags = {tag for tag, _ in elements.found}
    assert tags.isdisjoint({"script", "img", "link", "iframe", "form", "object", "base", "table"})
    assert elements.values("src") == set()
    assert "url(" not in mail.html
    assert {urlsplit(link).netloc for link in elements.values("href")} <= {"id.example.org"}
    linked = set(re.findall(r"https?://\S+", mail.text))
    assert linked == elements.values("href")
    assert all(link.startswith(f"{URL}/") for link in linked)


@every_mail
@every_language
def test_a_link_can_be_pressed_and_copied_and_a_code_is_one_number(ours: Renderer, template: str, locale: str) -> None:
    mail, values = ours.mail(template, locale, MAILS[template]), MAILS[template]
    if "path" in values:
        link = f"{URL}{values['path']}"
        assert mail.html.count(f'href="{link}"') == 2
        assert f">{link}</a>" in mail.html
        assert link in mail.text.splitlines()
    if "code" in values:
        assert mail.subject.startswith("123456") or direction(locale) == "rtl"
        assert "123456" in mail.subject  # UX-30
        assert "123456" in mail.text.splitlines()
        assert "123456" in re.sub(r"</?span[^>]*>", "", mail.html)  # seen as 123 456, copied without a blank


@pytest.mark.asvs("6.3.5", "6.3.7")
@pytest.mark.parametrize("template", NOTICES)
@every_language
def test_a_notice_says_what_happened_and_has_no_link_to_sign_in(ours: Renderer, template: str, locale: str) -> None:
    mail = ours.mail(template, locale, MAILS[template])
    assert "/sign-in" not in mail.html + mail.text
    assert "/account" not in mail.html + mail.text


@pytest.mark.asvs("6.3.5", "6.3.7")
@pytest.mark.parametrize("template", WITH_A_WAY_BACK)
@every_language
def test_the_only_link_of_a_notice_is_the_way_back(ours: Renderer, template: str, locale: str) -> None:
    mail = ours.mail(template, locale, MAILS[template])
    assert set(re.findall(r"https?://[^\s<\"]+", mail.text + mail.html)) == {f"{URL}/not-me/SAMPLE"}


def test_the_days_that_a_way_back_is_open_are_those_that_mails_and_page_name() -> None:
    assert LIFETIME_SECONDS["not_me"] == LIFETIME_SECONDS["email_undo"] == 7 * 86_400
    for name in ("messages/mails/parts.txt", "messages/mails/parts.html", "recovery/pages/not_me_over.html"):
        assert "seven days" in (ROOT / "src/doorward" / name).read_text()


@every_language
def test_what_a_notice_is_about_is_said_in_the_readers_language(ours: Renderer, locale: str) -> None:
    """The name of a kind, and of a program that we do not know, are sentences of ours."""
    values = {**MAILS["factor_added"], "kind": "Phone number", "device": "A program", "label": ""}
    said = Catalogues().gettext(locale)
    mail = ours.mail("factor_added", locale, values)
    assert said("Phone number") in mail.subject
    for word in ("Phone number", "A program"):
        assert said(word) in mail.text
        assert f"<bdi>{said(word)}</bdi>" in mail.html


def test_what_is_not_known_has_no_line(ours: Renderer) -> None:
    for template, name, line in (
        ("new_device", "place", "Roughly where:"), ("factor_added", "label", "Name:"),
        ("factor_removed", "label", "Name:"), ("phone_changed", "device", "Device:"),
    ):  # fmt: skip
        known, unknown = [ours.mail(template, "en", {**MAILS[template], **more}) for more in ({}, {name: ""})]
        assert line in known.text
        assert line in words(known.html)
        assert line not in unknown.text
        assert line not in words(unknown.html)


def test_a_notice_that_an_earlier_release_has_queued_is_still_sent(ours: Renderer) -> None:
    values = {name: value for name, value in MAILS["phone_changed"].items() if name != "device"}
    assert "+49 … 78" in ours.mail("phone_changed", "en", values).text


def test_an_instant_becomes_a_date_in_words(ours: Renderer) -> None:
    values = {**MAILS["password_changed"], "happened_at": 1_795_442_400_000_000}
    assert "23 November 2026, 14:00 UTC" in ours.mail("password_changed", "en", values).text
    assert "نوفمبر" in ours.mail("password_changed", "ar", values).html


def test_a_language_that_we_do_not_speak_is_english(ours: Renderer) -> None:
    for locale in (None, "", "tlh", "../ar"):
        assert ours.mail("recovery", locale, MAILS["recovery"]) == ours.mail("recovery", "en", MAILS["recovery"])


def test_text_on_dark_and_light_ground_can_be_read() -> None:
    """WCAG 1.4.3, for every pair of colours that the layout puts on each other."""
    style = (OURS / "layout.html").read_text() + (OURS / "parts.html").read_text()
    pairs = [
        ("#1a1e21", "#ffffff"), ("#555c61", "#ffffff"), ("#0b5d4e", "#ffffff"), ("#ffffff", "#0b5d4e"),
        ("#08463b", "#e3f0eb"), ("#555c61", "#f6f5f1"), ("#1a1e21", "#f6f5f1"), ("#eceae5", "#1c2023"),
        ("#adb4b8", "#1c2023"), ("#7bdcc1", "#1c2023"), ("#06241d", "#7bdcc1"), ("#a3ecd7", "#1b352f"),
        ("#adb4b8", "#131618"), ("#eceae5", "#131618"),
    ]  # fmt: skip
    assert set(re.findall(r"#[0-9a-f]{6}", style)) - {colour for pair in pairs for colour in pair} == {
        "#dfdcd4", "#343a3e",  # the line around the sheet
    }  # fmt: skip
    for ink, ground in pairs:
        lighter, darker = sorted((luminance(ink), luminance(ground)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (ink, ground)


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# Text messages


@every_language
def test_a_text_message_ends_with_the_line_that_binds_its_code_to_our_host(locale: str) -> None:
    text = renderer(public_url="https://id.example.org:8443").text("confirm_phone", locale, TEXTS["confirm_phone"])
    assert text.endswith("\n\n@id.example.org #123456")
    assert "123456" in text.splitlines()[0]


def test_a_text_message_in_english_is_one_segment() -> None:
    for site in ("Example", "The Society for Long Names and Addresses of Members"):
        text = renderer(site_name=site).text("confirm_phone", "en", TEXTS["confirm_phone"])
        assert len(text) <= 160
        assert set(text) <= GSM


# What others typed

HOSTILE_NAMES = (
    "https://evil.example click here", "evil.example", "www.evil.example/x", "Ada (ada@evil.example)", "evil。example",
    "evil．example", "evil․example", "ada\\evil", "javascript:alert(1)", "Call +1 900 555 0100", "A" * 61,
    "You have won a prize of a million, and all you have to do is answer",
)  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@every_language
def test_a_name_that_could_be_a_message_is_not_in_the_greeting(ours: Renderer, name: str, locale: str) -> None:
    mail = ours.mail("recovery", locale, {**MAILS["recovery"], "name": name})
    nobody = ours.mail("recovery", locale, {**MAILS["recovery"], "name": ""})
    assert mail == nobody


@pytest.mark.parametrize("label", HOSTILE_NAMES)
@pytest.mark.parametrize("template", ["factor_added", "factor_removed"])
def test_a_label_that_could_be_a_message_is_not_in_the_notice(ours: Renderer, template: str, label: str) -> None:
    """A thief names the authenticator that they add to somebody's account."""
    mail = ours.mail(template, "en", {**MAILS[template], "label": label})
    assert mail == ours.mail(template, "en", {**MAILS[template], "label": ""})


@pytest.mark.parametrize("name", ["Ada", "Ada Lovelace", "Dr. Ada", "O'Neill", "Anne-Marie", "سلمى", "李小龙", "Jr."])
def test_a_name_is(ours: Renderer, name: str) -> None:
    mail = ours.mail("recovery", "en", {**MAILS["recovery"], "name": name})
    assert mail.text.startswith(f"Hello {name},\n")
    assert f"<bdi>{name.replace(chr(39), '&#39;')}</bdi>" in mail.html


def test_markup_in_what_others_typed_stays_text(ours: Renderer) -> None:
    hostile = '<img src=x onerror="alert(1)"></title><script>alert(1)</script>{{ 7*7 }}%(site)s'
    for template, values in MAILS.items():
        filled = {name: hostile if isinstance(value, str) and "path" not in name else value
                  for name, value in values.items()}  # fmt: skip
        mail = ours.mail(template, "en", filled)
        assert {tag for tag, _ in Elements(mail.html).found}.isdisjoint({"img", "script"})
        assert "49" not in mail.html.replace("#e3f0eb", "")
        assert "onerror" not in words(mail.html) or "onerror=&#34;" in mail.html


def test_line_breaks_in_what_others_typed_make_no_header_and_no_paragraph(ours: Renderer) -> None:
    values = {**MAILS["confirm_email"], "code": "1\r\nBcc: x@evil.example\r\n\r\n2", "name": "A\nB\u2028C\u202eD\x00"}
    mail = ours.mail("confirm_email", "en", values)
    assert mail.subject == "1 Bcc: x@evil.example 2 is your code for Example"
    assert mail.text.startswith("Hello A B CD,\n")


@given(st.text())
def test_whatever_is_typed_becomes_one_visible_line_of_bounded_length(text: str) -> None:
    line = one_line(text)
    assert len(line) <= 254
    assert line.splitlines() in ([], [line])
    assert not [mark for mark in line if unicodedata.category(mark) in {"Cc", "Cs"}]
    assert not re.search(r"[/@\\:]|\.\w", greetable(text))


def test_a_value_nobody_gave_is_an_error_not_an_empty_place(ours: Renderer) -> None:
    values = {name: value for name, value in MAILS["recovery"].items() if name != "minutes"}
    with pytest.raises(Exception, match="'minutes' is undefined"):
        ours.mail("recovery", "en", values)


# An operator's logo and templates


def test_a_logo_travels_with_every_mail(tmp_path: Path) -> None:
    logo = tmp_path / "logo.png"
    logo.write_bytes(PNG)
    mail = renderer(logo=logo).mail("test", "en", MAILS["test"])
    assert [(image.cid, image.subtype, image.content) for image in mail.images] == [("logo", "png", PNG)]
    (image,) = [attributes for tag, attributes in Elements(mail.html).found if tag == "img"]
    assert (image["src"], image["alt"]) == ("cid:logo", "Example")


@pytest.mark.parametrize(
    ("content", "wrong"),
    [(None, "cannot be read"), (b"GIF89a", "neither PNG nor JPEG"), (b"<svg/>", "neither PNG nor JPEG"),
     (PNG + bytes(LOGO_BYTES), "at most 100,000")],
)  # fmt: skip
def test_a_logo_that_cannot_be_sent_is_refused_at_start(tmp_path: Path, content: bytes | None, wrong: str) -> None:
    logo = tmp_path / "logo.png"
    if content is not None:
        logo.write_bytes(content)
    with pytest.raises(StartRefused, match=rf"\[site\] logo: .*logo.png.*{wrong}"):
        renderer(logo=logo).check()


def overriding(folder: Path, templates: Mapping[str, str]) -> Renderer:
    for name, text in templates.items():
        (folder / name).write_text(text)
    return renderer(overrides=folder)


def rendered(folder: Path, templates: Mapping[str, str], name: str) -> RenderedMail:
    given = overriding(folder, templates)
    given.check()
    return given.mail(name, "en", MAILS[name])


def test_a_template_of_the_operators_replaces_ours(tmp_path: Path) -> None:
    mail = rendered(tmp_path, {"test.txt": "Testing {{ site_name }}\n\nIt was {{ happened_at }}.\n"}, "test")
    assert mail.subject == "Testing Example"
    assert mail.text == "It was 1 January 1970, 00:00 UTC.\n"
    assert "<title>Testing Example</title>" in mail.html


def test_a_layout_of_the_operators_holds_our_words(tmp_path: Path) -> None:
    layout = "<html><head></head><body><h1>{{ subject }}</h1>{% block body %}{% endblock %}</body></html>"
    mail = rendered(tmp_path, {"layout.html": layout}, "recovery")
    assert mail.html.startswith("<html><head></head><body><h1>Choose a new password for Example</h1>")
    assert f'href="{URL}/recovery/SAMPLE"' in mail.html


@pytest.mark.parametrize(
    ("name", "text", "wrong"),
    [
        ("recovery.html", "<p>\n{{ link }\n", r"recovery.html:2: unexpected '}'"),
        ("recovery.txt", "Subject\n\n{{ link }}\n{{ lnik }}\n", r"recovery.txt:4: 'lnik' is undefined"),
        ("layout.txt", "Subject\n\n{{ nobody }}", r"layout.txt:3: 'nobody' is undefined"),
        ("recovery.txt", "S\n\n{{ link }}{% if locale == 'de' %}{{ nein }}{% endif %}", "recovery.txt:3: 'nein'"),
        ("recovery.html", "{{ link }}{{ minutes / 0 }}", r"recovery.html:1: division by zero"),
        ("recovery.html", "\n{{ ''.__class__.__mro__ }}", r"recovery.html:2: .*unsafe"),
        ("recovery.html", "{{ link }}{% include '/etc/passwd' %}", r"recovery.html:1: .*passwd"),
        ("recovery.txt", "Subject only\n", r"template recovery: the first line"),
        ("recovery.txt", "Subject\n\nNo way on.\n", r"template recovery: neither .* may lack link"),
        ("confirm_email.html", "<p>No way on.</p>", r"may lack link and code"),
        ("confirm_phone.sms", "{{ code }}", r"template confirm_phone: the last line must be @"),
        ("recovery.htm", "", r"recovery.htm replaces no template of ours; there are account_erased.html"),
    ],
)
def test_a_broken_template_is_refused_at_start_with_its_place(tmp_path: Path, name: str, text: str, wrong: str) -> None:
    with pytest.raises(StartRefused, match=wrong):
        overriding(tmp_path, {name: text}).check()


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match=r"\[mail\] templates: .*nowhere is no folder"):
        renderer(overrides=tmp_path / "nowhere").check()


def test_what_an_editor_leaves_behind_is_no_template(tmp_path: Path) -> None:
    overriding(tmp_path, {".recovery.txt.swp": "{{"}).check()


def test_values_are_escaped_in_a_template_of_the_operators(tmp_path: Path) -> None:
    given = overriding(
        tmp_path, {"recovery.html": "{{ name }} {{ link }}", "recovery.txt": "S\n\n{{ name }} {{ link }}"}
    )
    mail = given.mail("recovery", "en", {**MAILS["recovery"], "name": "<b>Ada"})
    assert mail.html.startswith("<bdi>&lt;b&gt;Ada</bdi>")
    assert mail.text.startswith("<b>Ada")


def test_the_document_lists_every_template_and_what_fills_it() -> None:
    text = (ROOT / "docs/mail-templates.md").read_text()
    for template, values in {**MAILS, **TEXTS}.items():
        names = ", ".join(f"`{re.sub('path$', 'link', name)}`" for name in values)
        assert f"| `{template}` | {names} |" in text
