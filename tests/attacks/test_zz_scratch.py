import msgspec
import pytest

from doorward.config import Settings
from doorward.config.settings import Factors, Signin
from tests.http.conftest import ORIGIN, PASSWORD
from tests.support.attack import *
from tests.support.factors import *
from tests.support.members import code, member
from tests.support.software_authenticator import SoftwareAuthenticator

NUMBER = "+4915123456789"
STALE = 601
REAUTH = "/api/sessions/current/reauthenticate"


@pytest.fixture
def settings(settings: Settings, request) -> Settings:
    chosen = getattr(request, "param", None) or Factors(sms=True, email=True, cool_off=True)
    return msgspec.structs.replace(settings, factors=chosen, signin=Signin(email_link=True))


async def test_a_delete(world):
    ada = world.visitor()
    await ada.sign_up("ada")
    await set_up_app(world, ada)
    world.clock.advance(STALE)
    a = await ada.send("DELETE", "/api/users/me", {"password": PASSWORD})
    assert a.status_code == 403, a.status_code


async def test_b_email_code_refreshes(world):
    ada, uid = await member(world, "ada", "ada@example.org")
    await set_up_app(world, ada)
    assert (await ada.post(f"{OWN}/confirm", {"kind": "email_code"})).status_code == 201
    world.clock.advance(STALE)
    told = await ada.post(REAUTH, {"password": PASSWORD})
    assert told.json()["next"] == "authenticator", told.json()
    print(told.json())
    a = await ada.post(f"{STEP}/challenge", {"kind": "email_code"})
    assert a.status_code == 200, a.text
    a = await ada.post(STEP, {"kind": "email_code", "code": await code(world, "ada@example.org")})
    print(a.status_code, a.json())
    ada.csrf = a.json().get("csrf_token", ada.csrf)
    assert (await ada.post(OWN, {"kind": "recovery_code"})).status_code == 403


@pytest.mark.parametrize("settings", [Factors(required="all", grace_days=7)], indirect=True)
async def test_c_grace(world):
    ada = world.visitor()
    await ada.sign_up("ada")
    world.clock.advance(6 * 86400)
    assert (await ada.sign_in("ada")).status_code == 201
    await make_codes(ada)
    world.clock.advance(2 * 86400)
    a = await ada.http.post("/api/sessions", json={"identifier": "ada", "password": PASSWORD})
    assert a.status_code == 200


async def test_d_evict(world):
    ada = world.visitor()
    await ada.sign_up("ada")
    key = await set_up_app(world, ada)
    await half_signed_in(world, "ada", ada)
    for _ in range(21):
        world.clock.advance(0.01)
        await half_signed_in(world, "ada")
    a = await step(ada, "totp", app_code(world, key))
    assert a.status_code == 201, a.text


async def test_d2_evict_reauth(world):
    ada = world.visitor()
    await ada.sign_up("ada")
    key = await set_up_app(world, ada)
    world.clock.advance(STALE)
    await ada.post(REAUTH, {"password": PASSWORD})
    for _ in range(21):
        world.clock.advance(0.01)
        await half_signed_in(world, "ada")
    a = await ada.post(STEP, {"kind": "totp", "code": app_code(world, key)})
    assert a.status_code == 200, a.text


async def with_sms(world):
    ada, uid = await member(world, "ada", "ada@example.org")
    assert (await ada.post(f"/api/users/{uid}/phone", {"phone": NUMBER})).status_code == 202
    assert (
        await ada.post("/api/verifications", {"code": await code(world, NUMBER), "purpose": "phone"})
    ).status_code == 200
    a = await ada.post(f"{OWN}/confirm", {"kind": "sms_code"})
    assert a.status_code == 201, a.text
    return ada, uid


async def test_i_sms_binding(world):
    ada, uid = await with_sms(world)
    s = await ada.get("/api/sessions/current")
    assert s.status_code == 401 or s.json()["aal"] == 2, s.json()


async def test_e_sms_removed(world):
    ada, uid = await member(world, "ada", "ada@example.org")
    key = await set_up_app(world, ada)
    assert (await ada.post(f"/api/users/{uid}/phone", {"phone": NUMBER})).status_code == 202
    assert (
        await ada.post("/api/verifications", {"code": await code(world, NUMBER), "purpose": "phone"})
    ).status_code == 200
    bound = (await ada.post(f"{OWN}/confirm", {"kind": "sms_code"})).json()["id"]
    thief, told = await half_signed_in(world, "ada")
    assert (await thief.post(f"{STEP}/challenge", {"kind": "sms_code"})).status_code == 200
    c = await code(world, NUMBER)
    assert (await ada.send("DELETE", f"{OWN}/{bound}")).status_code == 204
    a = await step(thief, "sms_code", c)
    assert a.status_code != 201, a.json()


async def test_e2_phone_removed(world):
    ada, uid = await member(world, "ada", "ada@example.org")
    key = await set_up_app(world, ada)
    assert (await ada.post(f"/api/users/{uid}/phone", {"phone": NUMBER})).status_code == 202
    assert (
        await ada.post("/api/verifications", {"code": await code(world, NUMBER), "purpose": "phone"})
    ).status_code == 200
    await ada.post(f"{OWN}/confirm", {"kind": "sms_code"})
    thief, told = await half_signed_in(world, "ada")
    assert (await thief.post(f"{STEP}/challenge", {"kind": "sms_code"})).status_code == 200
    c = await code(world, NUMBER)
    assert (await ada.send("DELETE", f"/api/users/{uid}/phone")).status_code == 204
    a = await step(thief, "sms_code", c)
    assert a.status_code != 201, a.json()


async def add_passkey(world, ada, key, conditional=False, **tweaks):
    path = f"{OWN}/upgrade/options" if conditional else OWN
    o = await ada.post(path, {} if conditional else {"kind": "passkey"})
    assert o.status_code == 200, o.text
    options = o.json() if conditional else o.json()["options"]
    made = key.create(options, ORIGIN, conditional=conditional, **tweaks)
    path = f"{OWN}/upgrade" if conditional else f"{OWN}/confirm"
    a = await ada.post(path, {"credential": made} if conditional else {"kind": "passkey", "credential": made})
    assert a.status_code in (200, 201, 204), a.text


async def passkey_alone(world, key):
    b = world.visitor()
    o = (await b.http.post("/api/sessions/passkey/options", json={})).json()
    a = await b.http.post("/api/sessions/passkey", json={"credential": key.get(o, ORIGIN)})
    return b, a


async def test_f_same_passkey_twice(world):
    ada = world.visitor()
    await ada.sign_up("ada")
    totp = await set_up_app(world, ada)
    key = SoftwareAuthenticator()
    await add_passkey(world, ada, key, conditional=True)
    thief, a = await passkey_alone(world, key)
    print(a.status_code, a.json())
    assert a.status_code == 200 and a.json()["next"] == "authenticator"
    o = await thief.http.post(f"{STEP}/challenge", json={"kind": "passkey"})
    assert o.status_code == 200, o.text
    a = await thief.http.post(STEP, json={"kind": "passkey", "credential": key.get(o.json()["options"], ORIGIN)})
    print(a.json())
    assert a.status_code != 201


async def test_f2_reauth_promotes(world):
    ada = world.visitor()
    await ada.sign_up("ada")
    key = SoftwareAuthenticator()
    await add_passkey(world, ada, key, conditional=True)
    thief, a = await passkey_alone(world, key)
    assert a.status_code == 201 and a.json()["aal"] == 1, a.json()
    thief.csrf = a.json()["csrf_token"]
    o = await thief.post(f"{REAUTH}/passkey/options", {})
    assert o.status_code == 200
    a = await thief.post(f"{REAUTH}/passkey", {"credential": key.get(o.json(), ORIGIN)})
    print(a.json())
    thief, a = await passkey_alone(world, key)
    assert a.json()["aal"] == 1, a.json()


async def test_f3_untrusted_passkey_refreshes(world):
    ada = world.visitor()
    await ada.sign_up("ada")
    totp = await set_up_app(world, ada)
    key = SoftwareAuthenticator()
    await add_passkey(world, ada, key, conditional=True)
    world.clock.advance(STALE)
    o = await ada.post(f"{REAUTH}/passkey/options", {})
    a = await ada.post(f"{REAUTH}/passkey", {"credential": key.get(o.json(), ORIGIN)})
    print(a.status_code, a.json())
    assert (await ada.post(OWN, {"kind": "recovery_code"})).status_code == 403


async def test_h_sms_places(world):
    ada, uid = await with_sms(world)
    world.clock.advance(3600)
    for n in range(6):
        thief, _ = await half_signed_in(world, "ada")
        await thief.http.post(f"{STEP}/challenge", json={"kind": "sms_code"})
    await half_signed_in(world, "ada", ada)
    a = await ada.http.post(f"{STEP}/challenge", json={"kind": "sms_code"})
    assert a.status_code == 200, a.text


async def test_g_code_bucket(world):
    ada, uid = await member(world, "ada", "ada@example.org")
    assert (await ada.post(f"{OWN}/confirm", {"kind": "email_code"})).status_code == 201
    world.clock.advance(3600)
    for n in range(7):
        s = world.visitor(f"198.51.100.{n + 1}")
        r = await s.http.post("/api/sessions/email", json={"email": "ada@example.org"})
        if n % 5 == 4:
            world.clock.advance(1000)
        for _ in range(5):
            a = await s.post("/api/verifications", {"code": "000000", "purpose": "sign_in"})
        print(r.status_code, a.status_code)
    await half_signed_in(world, "ada", ada)
    assert (await ada.http.post(f"{STEP}/challenge", json={"kind": "email_code"})).status_code == 200
    a = await step(ada, "email_code", await code(world, "ada@example.org"))
    assert a.status_code == 201, a.text


async def test_j_admin_resets_own(world):
    root = world.visitor()
    boss = await make_admin(world, root, "boss")
    await set_up_app(world, root)
    a = await root.send("DELETE", f"/api/users/{boss['id']}/authenticators")
    print(a.status_code)
    assert a.status_code == 409


async def test_l_logout_by_link(world):
    ada = world.visitor()
    await ada.sign_up("ada")
    a = await ada.get("/sign-in/step", headers={"sec-fetch-site": "cross-site"})
    assert await signed_in(ada)


async def test_k_cool_off(world):
    ada, uid = await member(world, "ada", "ada@example.org")
    assert (await ada.post(f"/api/users/{uid}/phone", {"phone": NUMBER})).status_code == 202
    assert (
        await ada.post("/api/verifications", {"code": await code(world, NUMBER), "purpose": "phone"})
    ).status_code == 200
    await set_up_app(world, ada)
    b, _ = await half_signed_in(world, "ada")
    C = "/sign-in/cool-off"
    a = await b.submit(C, {})
    print(a.status_code, a.headers.get("location"))
    for ch, to in (("email", "ada@example.org"), ("phone", NUMBER)):
        a = await b.submit(f"{C}/code", {"channel": ch, "code": await code(world, to)}, page=C)
        print(a.status_code, a.headers.get("location"))
    world.clock.advance(72 * 3600)
    thief, _ = await half_signed_in(world, "ada")
    a = await thief.submit(f"{C}/go-on", {}, page=C)
    print("thief", a.status_code, a.headers.get("location"))
    offer = (await thief.http.post("/api/sessions/enrolment", json={"kind": "totp"})).json()
    done = await thief.http.post(
        "/api/sessions/enrolment/confirm", json={"kind": "totp", "code": app_code(world, offer["secret"])}
    )
    print(done.status_code, done.text)
    assert done.status_code == 201


async def test_m_offers(world):
    ada = world.visitor()
    await ada.sign_up("ada")
    n = 0
    for _ in range(40):
        n += (await ada.post(OWN, {"kind": "recovery_code"})).status_code == 200
    assert n < 40


async def test_n_jwt(world):
    ada = world.visitor()
    await ada.sign_up("ada")
    jwt = (await ada.post("/api/users/authenticate", {"uid": "ada", "password": PASSWORD})).json()["data"]["jwt"]
    thief = world.visitor()
    h = {"authorization": f"Bearer {jwt}"}
    offer = await thief.http.post(OWN, json={"kind": "totp"}, headers=h)
    a = await thief.http.post(
        f"{OWN}/confirm", json={"kind": "totp", "code": app_code(world, offer.json()["secret"])}, headers=h
    )
    print(a.status_code, a.headers)
    assert not await signed_in(thief)
