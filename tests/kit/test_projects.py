"""The kit in the projects of those who use it: their apps, their conftest.py, their pytest."""

import re
from pathlib import Path

import pytest

from tests.support.projects import ROOT, run_tests

pytestmark = pytest.mark.slow

FLASK = """
import flask
from doorward_client.flask import Doorward

def create_app(settings):
    app = flask.Flask("notes")
    doorward = Doorward(app, **settings)

    @app.get("/me")
    @doorward.login_required
    def me():
        return {"sub": doorward.user.sub, "name": doorward.user.profile.get("name")}

    @app.get("/strong")
    @doorward.require(mfa=True)
    def strong():
        return {"amr": doorward.user.claims["amr"]}

    @app.get("/editor")
    @doorward.require(role="editor")
    def editor():
        return {}

    @app.get("/fresh")
    @doorward.require(fresh=60)
    def fresh():
        return {}

    return app
"""

FASTAPI = """
from typing import Annotated

from fastapi import Depends, FastAPI
from doorward_client.fastapi import Doorward, Principal

def create_app(settings):
    app = FastAPI()
    doorward = Doorward(app, **settings)

    @app.get("/me")
    async def me(user: Annotated[Principal, Depends(doorward.login_required)]):
        return {"sub": user.sub, "name": user.profile.get("name")}

    @app.get("/strong")
    async def strong(user: Annotated[Principal, Depends(doorward.require(mfa=True))]):
        return {"amr": user.claims["amr"]}

    @app.get("/editor")
    async def editor(user: Annotated[Principal, Depends(doorward.require(role="editor"))]):
        return {}

    @app.get("/fresh")
    async def fresh(user: Annotated[Principal, Depends(doorward.require(fresh=60))]):
        return {}

    return app
"""

DJANGO = """
import django
from django.conf import settings as project
from django.core.handlers.wsgi import WSGIHandler
from django.http import JsonResponse
from django.urls import path
from doorward_client.django import login_required, require, user_of

project.configure(
    ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of tests", MIDDLEWARE=["doorward_client.django.Middleware"]
)
django.setup()

@login_required
def me(request):
    user = user_of(request)
    return JsonResponse({"sub": user.sub, "name": user.profile.get("name")})

@require(mfa=True)
def strong(request):
    return JsonResponse({"amr": user_of(request).claims["amr"]})

@require(role="editor")
def editor(request):
    return JsonResponse({})

@require(fresh=60)
def fresh(request):
    return JsonResponse({})

urlpatterns = [path("me", me), path("strong", strong), path("editor", editor), path("fresh", fresh)]

def create_app(settings):
    project.DOORWARD = settings
    return WSGIHandler()
"""

TESTS = """
import pytest
from app import create_app
from doorward.testing import SoftwareAuthenticator, eventually


@pytest.fixture
def app(doorward_server):
    return doorward_server.serve(create_app)


def test_a_newcomer_signs_up_with_the_link_of_a_mail(doorward_server, app):
    browser = doorward_server.browser()
    browser.open(f"{app.url}/me")
    assert browser.path == "/sign-in"
    browser.open(f"{doorward_server.issuer}/sign-up")
    browser.submit(
        {"email": "ada@example.org", "name": "Ada", "uid": "ada", "password": "seven quiet herons at noon"}, "/sign-up"
    )
    letter = doorward_server.mail.last("ada@example.org")
    assert letter.template == "confirm_sign_up"
    browser.open(letter.link)
    browser.submit({})
    assert browser.open(f"{app.url}/me").json()["name"] == "Ada"


def test_somebody_signs_in_with_a_passkey_that_was_made_on_our_pages(doorward_server, app):
    ada, device, browser = doorward_server.user("Ada"), SoftwareAuthenticator(), doorward_server.browser()
    browser.sign_in(ada)
    browser.open(f"{doorward_server.issuer}/account/security")
    browser.use_passkey(device)
    other = doorward_server.browser()
    other.open(f"{app.url}/me")
    other.use_passkey(device)
    assert (str(other.page.url), other.page.json()["sub"]) == (f"{app.url}/me", ada.sub)


def test_a_session_times_out(doorward_server, app):
    browser = doorward_server.browser()
    browser.open(f"{app.url}/me")
    assert browser.sign_in(doorward_server.user("Ada", passkey=True)).status_code == 200
    doorward_server.clock.advance(minutes=11)
    assert browser.program(f"{app.url}/me").status_code == 200, "another token was fetched"
    doorward_server.clock.advance(days=31)
    assert browser.program(f"{app.url}/me").status_code == 401
    browser.open(f"{app.url}/me")
    assert browser.path == "/sign-in"


def test_a_deleted_user_is_out(doorward_server, app):
    ada, browser = doorward_server.user("Ada"), doorward_server.browser()
    browser.open(f"{app.url}/me")
    browser.sign_in(ada)
    assert browser.program(f"{app.url}/me").status_code == 200
    doorward_server.delete(ada)
    eventually(lambda: browser.program(f"{app.url}/me").status_code == 401, seconds=2)


def test_two_factors_are_asked_for(doorward_server, app):
    browser = doorward_server.browser()
    browser.open(f"{app.url}/strong")
    assert "otp" in browser.sign_in(doorward_server.user("Ada", second_step=True)).json()["amr"]


def test_editors_only(doorward_server, app):
    for roles, status in [(["editor"], 200), ([], 403)]:
        browser = doorward_server.browser()
        browser.open(f"{app.url}/me")
        browser.sign_in(doorward_server.user("Bob", roles=roles))
        assert browser.program(f"{app.url}/editor").status_code == status


@pytest.mark.parametrize("state", [{}, {"second_step": True}, {"password": None, "passkey": True}])
def test_an_old_sign_in_is_confirmed(doorward_server, app, state):
    ada, browser = doorward_server.user("Ada", **state), doorward_server.browser()
    browser.open(f"{app.url}/fresh")
    assert browser.sign_in(ada).json() == {}
    doorward_server.clock.advance(minutes=5)
    assert browser.program(f"{app.url}/fresh").status_code == 401
    browser.open(f"{app.url}/fresh")
    assert browser.path == "/confirm"
    assert browser.confirm(ada).json() == {}


def test_programs_bring_keys(doorward_server, app):
    import httpx

    bob = doorward_server.user("Bob")
    answer = httpx.get(f"{app.url}/me", headers={"x-api-key": doorward_server.api_key(bob, "profile:read")})
    assert answer.json()["sub"] == bob.sub


def test_programs_bring_tokens(doorward_server, app):
    import httpx

    bob = doorward_server.user("Bob")
    token = doorward_server.tokens(bob, app)["access_token"]
    answer = httpx.get(f"{app.url}/me", headers={"authorization": f"Bearer {token}"})
    assert answer.json()["sub"] == bob.sub
"""


@pytest.mark.parametrize(("framework", "source"), [("flask", FLASK), ("fastapi", FASTAPI), ("django", DJANGO)])
def test_the_tests_of_an_app_run_doorward_itself(tmp_path: Path, framework: str, source: str) -> None:
    done = run_tests(tmp_path, {"app.py": source, "test_app.py": TESTS})
    assert done.returncode == 0, f"{framework}\n{done.stdout}{done.stderr}"
    assert "11 passed" in done.stdout


def test_the_project_that_the_documentation_shows_passes_its_tests(tmp_path: Path) -> None:
    shown = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", (ROOT / "docs/testing-your-app.md").read_text(), re.DOTALL)
    assert {name for name, _ in shown} == {"conftest.py", "app.py", "test_app.py"}
    done = run_tests(tmp_path, dict(shown))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_what_is_configured_is_what_runs(tmp_path: Path) -> None:
    files = {
        "doorward.toml": """
[server]
public_url = "https://id.example.org"
[signup]
identifier = "uid"
[mail]
url = "smtp://mail.example.org"
from = "id@example.org"
[fields.coins]
type = "integer"
write = "app"
default = 0
""",
        "test_config.py": """
from pathlib import Path
import pytest

@pytest.fixture
def doorward_config():
    return Path("doorward.toml")

def test_coins(doorward_server):
    ada = doorward_server.user("Ada", fields={"coins": 5})
    told = doorward_server.sign_in(ada).program(f"{doorward_server.issuer}/api/users/me").json()
    assert (told["uid"], told["coins"]) == ("ada", 5)
""",
    }
    done = run_tests(tmp_path, files)
    assert done.returncode == 0, done.stdout + done.stderr


def test_where_the_server_is_not_installed_the_fixture_says_what_to_install(tmp_path: Path) -> None:
    files = {"test_app.py": "def test_it(doorward_server):\n    pass\n"}
    done = run_tests(tmp_path, files, with_server=False)
    assert done.returncode == 1
    assert "pip install '/path/to/doorward[testing]'" in done.stdout
    assert "Traceback" not in done.stdout


def test_the_issuer_of_the_library_needs_no_server(tmp_path: Path) -> None:
    text = "def test_it(doorward_issuer):\n    assert doorward_issuer.user('Ada').name == 'Ada'\n"
    done = run_tests(tmp_path, {"test_app.py": text}, with_server=False)
    assert done.returncode == 0, done.stdout + done.stderr
