"""What the audit says of a sign-in."""

from doorward.audit import AuditTrail, Event, Outcome
from doorward.kernel.assurance import Proof
from doorward.kernel.caller import Caller
from doorward.sessions import SignedIn, SignInOutcome
from doorward.sql import Work


def record_sign_in(
    audit: AuditTrail, outcome: SignInOutcome, proof: Proof, caller: Caller, *, failures: int = 0
) -> Work[None]:
    """Note that a session has begun; a ticket, which opens nothing, was noted when it was made."""
    if not isinstance(outcome, SignedIn):
        return
    session = outcome.session
    event = Event.AUTHN_LOGIN_SUCCESSAFTERFAIL if failures else Event.AUTHN_LOGIN_SUCCESS
    yield from audit.record(
        event,
        Outcome.SUCCESS,
        caller,
        user_id=session.user_id,
        actor_id=session.user_id,
        session_id=session.id,
        payload={"amr": list(proof.amr), "failures": failures} if failures else {"amr": list(proof.amr)},
    )
