"""What is taken for a secret, and what is not."""

import pytest

from doorward.kernel.secret import REDACTED, is_secret, scrub

TOKEN = "ecQ0TdJB20ntUCa2EEqU4Rf3-kC2lhkM8yDp79f1aD8"  # fixed, so that every process names its cases alike


@pytest.mark.parametrize(
    "name",
    [
        "password", "new_password", "Current-Password", "token", "refresh_token", "csrf_token", "Cookie", "Set-Cookie",
        "Authorization", "Proxy-Authorization", "code", "totp_code", "recovery_codes", "client_secret", "jwt",
        "api_key",
    ],
)  # fmt: skip
def test_values_under_these_names_are_secret(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name", ["user_id", "session_id", "key_id", "status_code", "error_code", "request_id", "reason", "tokens_left"]
)
def test_values_under_these_names_are_not(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    "text",
    [
        f"GET /setup/{TOKEN} HTTP/1.1",
        f"Authorization: Bearer {TOKEN}",
        f"__Host-doorward={TOKEN}; Path=/",
        f"https://x.example/reset?token={TOKEN}&a=1",
        f"{{'password': '{TOKEN}'}}",
        f'"new_password": "{TOKEN}"',
        f"$argon2id$v=19$m=8,t=1,p=2$c2FsdA${TOKEN}",
        f"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.{TOKEN}{TOKEN}",
        f"token={TOKEN[:20]} and more",
        f"Cookie: theme=dark; session={TOKEN[:20]}",
    ],
)
def test_credentials_are_taken_out_of_texts(text: str) -> None:
    assert TOKEN[:20] not in scrub(text)
    assert REDACTED in scrub(text)


@pytest.mark.parametrize(
    "text",
    [
        "0197ae2c-1111-7abc-8def-0123456789ab",
        "3f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea",
        "basic sign-in took 12 ms, exit code: 1",
        "The password is too short",
        "doorward/of/a/path/with/many/parts/and_words/that/go/on.py:12 in build",
    ],
)
def test_ordinary_texts_stay_as_they_are(text: str) -> None:
    assert scrub(text) == text
