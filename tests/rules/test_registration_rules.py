"""Which addresses may sign up, and which handles nobody gets."""

from pathlib import Path

import pytest

from doorward.kernel.startup import StartRefused
from doorward.kernel.text import uid_key
from doorward.signup.rules import RegistrationRules
from doorward.users.reserved import reserved_keys


def refused(rules: RegistrationRules, address: str) -> str | None:
    error = rules.error(address)
    return None if error is None else f"{error.field} {error.code}".removeprefix("email ")


def test_without_rules_every_domain_may() -> None:
    assert refused(RegistrationRules(), "ada@example.org") is None


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("ada@example.org", None),
        ("ada@EXAMPLE.org", None),
        ("ada@mail.example.org", None),
        ("ada@example.org.evil.test", "domain_not_allowed"),
        ("ada@badexample.org", "domain_not_allowed"),
        ("ada@org", "domain_not_allowed"),
        ("ada@bücher.example", None),
        ("ada@xn--bcher-kva.example", None),
        ("ada@secret.example.org", "domain_not_allowed"),
        ("ada@ｅxample.org", None),  # full-width letters are the same domain to the DNS
    ],
)
def test_only_allowed_domains_and_their_subdomains_may(address: str, code: str | None) -> None:
    rules = RegistrationRules.of(["@Example.org", "bücher.example"], ["secret.example.org"], None)
    assert refused(rules, address) == code


def test_a_domain_that_only_looks_like_an_allowed_one_is_not() -> None:
    rules = RegistrationRules.of(["business.example"], [], None)
    assert refused(rules, "a@busineß.example") == "domain_not_allowed"
    assert refused(rules, "a@BUSINESS.example") is None


def test_throw_away_domains_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "disposable.txt"
    file.write_text("# services for throw-away addresses\n\nMailinator.example\n", "utf-8")
    rules = RegistrationRules.of([], [], str(file))
    assert refused(rules, "x@mailinator.example") == "disposable_domain"
    assert refused(rules, "x@any.mailinator.example") == "disposable_domain"
    assert refused(rules, "x@example.org") is None


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "disposable.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StartRefused, match=r"disposable_domains_file: .*disposable.txt cannot be read"):
        RegistrationRules.of([], [], str(file))


@pytest.mark.parametrize("name", ["admin", "Admin", "ＡＤＭＩＮ", "аdmin", "supp0rt", "support", "Root", "security"])
def test_handles_that_pass_for_the_site_are_reserved_with_their_look_alikes(name: str) -> None:
    assert uid_key(name) in reserved_keys()


def test_ordinary_handles_are_not_reserved_and_the_operator_adds_some() -> None:
    assert uid_key("ada") not in reserved_keys()
    assert uid_key("Adà") not in reserved_keys(["ada"])
    assert uid_key("ADA") in reserved_keys(["ada"])
