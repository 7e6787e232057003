"""What goes on while the database takes no writes (a full disk, a stand-by)."""

from doorward.kernel.instant import MINUTE
from tests.http.conftest import World
from tests.support.databases import Interrupted


async def test_a_session_is_recognised_though_its_use_cannot_be_written_down(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    sessions = world.services.sessions
    started_at = world.clock.now()
    sessions.db = database = Interrupted(sessions.db)
    database.down = True
    world.clock.advance(61)
    assert (await ada.get("/api/sessions/current")).status_code == 200
    (listed,) = (await ada.get("/api/sessions")).json()["data"]
    database.down = False
    world.clock.advance(61)
    assert (await ada.get("/api/sessions/current")).status_code == 200
    (session,) = await sessions.list_of((await ada.get("/api/users/me")).json()["id"])
    assert listed["current"]
    assert session.last_seen_at - started_at > 2 * MINUTE
