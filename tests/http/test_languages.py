"""Every language over HTTP: asked for by the browser, chosen by the visitor, kept for the mails."""

import re

import pytest

from doorward.web.translations import NAMES, direction
from tests.http.conftest import Inbox, World

HEADINGS = {"en": "Sign in", "de": "Anmelden", "es": "Iniciar sesión", "ar": "تسجيل الدخول"}
EMPTY = {
    "en": "Enter your password",
    "de": "Geben Sie Ihr Passwort ein",
    "es": "Introduce tu contraseña",
    "ar": "أدخل كلمة المرور",
}
every_language = pytest.mark.parametrize("locale", NAMES)


@every_language
async def test_a_page_speaks_the_language_that_the_browser_asks_for(world: World, locale: str) -> None:
    asked = f"tlh;q=0.9, {locale}-XX;q=0.8, en;q=0.1"
    page = await world.visitor(**{"accept-language": asked}).http.get("/sign-in")
    assert f'<html lang="{locale}" dir="{direction(locale)}"' in page.text
    assert f"<h1>{HEADINGS[locale]}</h1>" in page.text
    assert f"<title>{HEADINGS[locale]} – " in page.text


@every_language
async def test_a_choice_of_language_outweighs_the_browser(world: World, locale: str) -> None:
    visitor = world.visitor(**{"accept-language": "ar" if locale != "ar" else "de"})
    await visitor.submit("/preferences", {"lang": locale, "theme": "system", "return_to": "/sign-in"}, page="/sign-in")
    page = await visitor.http.get("/sign-in")
    assert f'<html lang="{locale}"' in page.text
    assert re.findall(r'<option value="(\w+)" lang="\w+" selected>', page.text) == [locale]


@every_language
async def test_what_is_wrong_is_said_in_the_same_language(world: World, locale: str) -> None:
    visitor = world.visitor(**{"accept-language": locale})
    page = await visitor.submit("/sign-in", {"identifier": "ada", "password": ""})
    assert EMPTY[locale] in page.text
    assert f'<html lang="{locale}"' in page.text


@every_language
async def test_mails_speak_the_language_of_the_page(mail_world: World, inbox: Inbox, locale: str) -> None:
    visitor = mail_world.visitor(**{"accept-language": locale})
    answer = await visitor.submit("/sign-up", {"email": "ada@example.org", "password": "engines weave algebra"})
    assert answer.status_code == 303, answer.text
    assert (await inbox.last()).locale == locale
