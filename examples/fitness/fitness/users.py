"""What the app asks Doorward, with its API key. Nobody's browser ever sees the key or these answers as they are."""

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from doorward_client import Unavailable

PROFILE = ("tracking", "exercise")  # the custom fields that are a user's own (doorward.toml)
TIMEOUT_SECONDS = 5.0
PAGE = 200


class Refused(Exception):  # noqa: N818  named for what happened
    """Doorward does not take a value. The text may be shown to who sent it."""


class Users:
    """The users that Doorward keeps. Every method raises Unavailable when it does not answer. Threads share it."""

    def __init__(self, issuer: str, api_key: str) -> None:
        self._http = httpx.Client(base_url=issuer, headers={"X-API-Key": api_key}, timeout=TIMEOUT_SECONDS)

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    def find(self, user_id: str) -> Mapping[str, Any] | None:
        """What a page of their own shows of a user. The key could read more; nothing else leaves this function."""
        answer = self._ask("GET", f"/api/users/{user_id}")
        return None if answer is None else _shown(answer, "id", "uid", "name", *PROFILE, "coins")

    def change_profile(self, user_id: str, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Write fields of PROFILE for a user, and no others, whatever `values` holds. Raises Refused."""
        answer = self._ask("PATCH", f"/api/users/{user_id}", {name: values[name] for name in PROFILE if name in values})
        return None if answer is None else _shown(answer, "id", "uid", "name", *PROFILE, "coins")

    def add_coins(self, user_id: str, coins: int, once: str) -> None:
        """Add coins, once for each `once`, however often it has to be tried. Doorward adds; nothing is read before."""
        if coins == 0:
            return
        self._ask("PATCH", f"/api/users/{user_id}", {"coins": {"increment": coins}}, {"Idempotency-Key": once})

    def leaderboard(self, limit: int) -> list[dict[str, Any]]:
        """Those with the most coins; equal counts share a rank."""
        found = self._ask("GET", f"/api/users?sort=-coins&limit={limit}") or {"data": []}
        return [_shown(row, "rank", "id", "uid", "name", "coins") for row in found["data"] if row["rank"] is not None]

    def everybody(self) -> Iterator[tuple[str, str | None]]:
        """Every active user: their id, and the one they had in another system."""
        cursor = ""
        while True:
            page = self._ask("GET", f"/api/users?limit={PAGE}{cursor}") or {"data": [], "next_cursor": None}
            yield from ((row["id"], row["legacy_id"]) for row in page["data"])
            if page["next_cursor"] is None:
                return
            cursor = f"&cursor={page['next_cursor']}"

    def events(self, after: str | None) -> Mapping[str, Any]:
        """What has happened to users after a cursor, oldest first, up to a hundred."""
        return self._ask("GET", "/api/events" if after is None else f"/api/events?after={after}") or {}

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Any:  # noqa: ANN401  JSON; None for a user who is not there
        try:
            answer = self._http.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise Unavailable("Doorward does not answer") from error
        match answer.status_code:
            case httpx.codes.OK:
                return answer.json()
            case httpx.codes.NOT_FOUND:
                return None
            case httpx.codes.BAD_REQUEST:
                raise Refused(answer.json()["message"])
            case status:
                raise Unavailable(f"Doorward answered {status}")


def _shown(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: row.get(name) for name in names}
