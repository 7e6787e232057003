"""Who may sign up, as far as their address tells: allowed, denied and throw-away domains."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from doorward.kernel.domains import domain_key
from doorward.kernel.errors import FieldError
from doorward.kernel.msgid import msgid
from doorward.kernel.startup import StartRefused

NOT_ALLOWED: Final = msgid("Addresses of this domain cannot sign up here")
THROW_AWAY: Final = msgid("Use an address that you keep: this one is of a service for throw-away addresses")
_LONGEST_FILE: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RegistrationRules:
    """Domains, each with its subdomains. The answer depends on the typed address alone, so it tells of nobody."""

    allowed: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    disposable: frozenset[str] = frozenset()

    @classmethod
    def of(cls, allow: Iterable[str], deny: Iterable[str], disposable_file: str | None) -> "RegistrationRules":
        """From the configuration. Raises StartRefused when the file cannot be read."""
        disposable = () if disposable_file is None else _lines_of(Path(disposable_file))
        return cls(*map(_keys_of, (allow, deny, disposable)))

    def error(self, address: str) -> FieldError | None:
        """Why an address of this domain may not sign up, if it may not."""
        domains = _with_parents(domain_key(address.rpartition("@")[2]))
        if not domains.isdisjoint(self.disposable):
            return FieldError("email", "disposable_domain", THROW_AWAY)
        if not domains.isdisjoint(self.denied) or (self.allowed and domains.isdisjoint(self.allowed)):
            return FieldError("email", "domain_not_allowed", NOT_ALLOWED)
        return None


def _keys_of(domains: Iterable[str]) -> frozenset[str]:
    return frozenset(domain_key(domain.strip().removeprefix("@")) for domain in domains)


def _with_parents(domain: str) -> frozenset[str]:
    labels = domain.split(".")
    return frozenset(".".join(labels[start:]) for start in range(len(labels)))


def _lines_of(path: Path) -> list[str]:
    try:
        if path.stat().st_size > _LONGEST_FILE:
            raise StartRefused(f"[signup] disposable_domains_file: {path} has more than {_LONGEST_FILE} bytes.")
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StartRefused(f"[signup] disposable_domains_file: {path} cannot be read: {error}.") from error
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
