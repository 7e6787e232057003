"""The composition root: the only file that knows every room and every adapter.

`open_services` builds the rooms on an opened database for the command line; `build` puts HTTP in front of them.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import structlog
from starlette.types import Receive, Scope, Send

from doorward import __version__
from doorward.account import (
    Account,
    AccountRoutes,
    Activity,
    ActivityRoutes,
    ContactRoutes,
    Contacts,
    DataRoutes,
    Export,
    Exporting,
    Frame,
    KeyPages,
    Leaving,
    Part,
    Phones,
    StepPages,
    Steps,
    StepsApi,
    UsersApi,
    export_activity,
    export_sent,
)
from doorward.adapters.argon2 import Argon2Hasher
from doorward.adapters.clock import SystemClock
from doorward.adapters.database_limiter import DatabaseLimiter
from doorward.adapters.geoip import GeoipPlaces, NoPlaces
from doorward.adapters.guarded_http import GuardedHttp
from doorward.adapters.memory_limiter import MemoryLimiter
from doorward.adapters.postgres import PostgresDatabase
from doorward.adapters.pwned import SECONDS as BREACH_SECONDS
from doorward.adapters.pwned import PwnedPasswords
from doorward.adapters.sealing import KeyFileSealer, open_sealer_of
from doorward.adapters.sms_gateway import GatewayMessenger
from doorward.adapters.smtp import SmtpMailer
from doorward.adapters.sqlite import SqliteDatabase
from doorward.adapters.twilio import TwilioMessenger
from doorward.apikeys import ApiKeys, KeysApi, export_keys
from doorward.audit import AuditReader, AuditTrail, Event, Outcome, Refusals
from doorward.authenticators import (
    RECOVERY,
    Binding,
    FactorPolicy,
    Factors,
    FirstPasskeys,
    NothingLeaked,
    PasswordPolicy,
    PasswordService,
    RelyingParty,
    SecurityNotices,
    Tries,
    UndoSince,
    all_kinds,
    export_authenticators,
)
from doorward.authenticators import Challenges as FactorChallenges
from doorward.config import BUILT_IN_ROLES, Settings
from doorward.confirmations import Confirmations, Purpose
from doorward.datadir import DataDir
from doorward.events import EventsApi, EventSender, UserEvents, Webhooks
from doorward.kernel.addresses import PRIVATE_NETWORKS
from doorward.kernel.caller import LOCAL_OPERATOR, OURSELVES, Caller
from doorward.kernel.errors import Problem, Unavailable
from doorward.kernel.instant import DAY, SECOND, Instant
from doorward.kernel.limits import load_limits
from doorward.kernel.msgid import msgid
from doorward.kernel.smtp import parse_mail_server, parse_sender
from doorward.kernel.startup import StartRefused
from doorward.messages import Delivery, Mailbox, MailboxRoutes, Outbox, Renderer, SendLimits
from doorward.oidc import (
    AUTHORIZE,
    Authorize,
    Clients,
    Families,
    Following,
    Forward,
    ForwardRoutes,
    Grants,
    Introspector,
    Live,
    OidcRoutes,
    SignedStatements,
)
from doorward.ports import Clock, Database, Limiter, Sealer
from doorward.ports.breach import BreachCheck
from doorward.ports.places import Places
from doorward.ports.sms import TextMessenger
from doorward.recovery import NotMe, NotMeRoutes, Recovery, RecoveryRoutes
from doorward.sealing import FOLLOW_SECONDS, SealingKeys
from doorward.sessions import (
    CURRENT,
    PROFILES,
    CurrentSessionLane,
    Session,
    SessionCookies,
    SessionRoutes,
    Sessions,
    describe,
    export_devices,
    export_sessions,
)
from doorward.setup import Setup, SetupRoutes
from doorward.signin import (
    Begun,
    CoolOff,
    CoolOffRoutes,
    EmailSignInRoutes,
    SecondStep,
    SignIn,
    SignInByEmail,
    SignInRoutes,
    StepApi,
    StepRoutes,
)
from doorward.signup import (
    Challenges,
    InvitationRoutes,
    Invitations,
    PasskeySignUpRoutes,
    RegistrationRules,
    SignUp,
    SignUpByEmail,
    SignUpByPasskey,
    SignUpGuard,
    SignUpRoutes,
)
from doorward.sql import Work, migrate
from doorward.tokens import FIRST_PARTY, AccessTokens, SigningKeys
from doorward.users import (
    Directory,
    Importer,
    Schema,
    SessionsEnd,
    User,
    UsersService,
    export_contacts,
    export_profile,
    index_statements,
    reserved_keys,
)
from doorward.verification import Flow, Verification, VerificationRoutes
from doorward.web.cookies import Cookies
from doorward.web.csrf import Csrf
from doorward.web.front import Front, Lane
from doorward.web.gate import Gate
from doorward.web.idempotency import Idempotency
from doorward.web.openapi import describe_api
from doorward.web.origins import Site
from doorward.web.pages import Pages
from doorward.web.routing import JSON, Operation
from doorward.web.script import SCRIPT, load_script, script_lane
from doorward.web.seldom import Seldom
from doorward.web.system import LIVE, SystemRoutes, fixed_lane, static_lanes

PURGE_EVERY_SECONDS = 600
ERASE_EVERY_SECONDS = 600
KEYS_EVERY_SECONDS = 60
PLACES_EVERY_SECONDS = 60
WEBHOOK_SECONDS = 15.0
_log = structlog.get_logger("doorward")

OpenDatabase: TypeAlias = Callable[[Settings, DataDir], Awaitable[SqliteDatabase | PostgresDatabase]]


@dataclass(frozen=True, slots=True, repr=False)
class Apps:
    """What apps need of us."""

    clients: Clients
    families: Families
    grants: Grants
    authorize: Authorize
    live: Live
    following: Following
    forward: Forward


@dataclass(frozen=True, slots=True, repr=False)
class Services:
    """Every room's service on one database."""

    settings: Settings
    db: Database
    clock: Clock
    sealer: Sealer
    sealing: SealingKeys
    hasher: Argon2Hasher
    limiter: Limiter
    durable: DatabaseLimiter
    audit: AuditTrail
    refusals: Refusals
    outbox: Outbox
    renderer: Renderer
    mailbox: Mailbox | None
    delivery: Delivery
    sends: SendLimits
    confirmations: Confirmations
    schema: Schema
    users: UsersService
    directory: Directory
    passwords: PasswordService
    factors: Factors
    binding: Binding
    notices: SecurityNotices
    sessions: Sessions
    keys: SigningKeys
    tokens: AccessTokens
    apps: Apps
    sign_up: SignUp
    sign_up_by_email: SignUpByEmail
    sign_up_by_passkey: SignUpByPasskey
    invitations: Invitations
    verification: Verification
    sign_in: SignIn
    second: SecondStep
    cool_off: CoolOff
    sign_in_by_email: SignInByEmail
    recovery: Recovery
    not_me: NotMe
    api_keys: ApiKeys
    events: UserEvents
    sender: EventSender
    webhooks: Webhooks
    account: Account
    contacts: Contacts
    phones: Phones
    steps: Steps
    activity: Activity
    leaving: Leaving
    export: Export
    setup: Setup
    importer: Importer
    csrf: Csrf
    idempotency: Idempotency
    places: Places


def this_clock() -> Clock:
    """The clock of this machine."""
    return SystemClock()


async def open_database(settings: Settings, data: DataDir) -> SqliteDatabase | PostgresDatabase:
    """The database that the settings name; by default SQLite in the data directory."""
    if settings.database.url is None:
        return await SqliteDatabase.open(data.database)
    return await PostgresDatabase.open(settings.database.url)


@asynccontextmanager
async def open_services(
    settings: Settings, data: DataDir, clock: Clock | None = None, open_database: OpenDatabase = open_database
) -> AsyncIterator[Services]:
    """Open the database (creating and upgrading what is missing) and wire the rooms; closes all of it at the end."""
    async with contextlib.AsyncExitStack() as stack:
        db = await open_database(settings, data)
        stack.push_async_callback(db.close)
        await migrate.upgrade(db, extra=index_statements(settings.fields, db.dialect))
        sealer = await open_sealer_of(db, data.sealing_key, os.environ)
        hasher = Argon2Hasher(memory_kib=settings.password.memory_kib, time_cost=settings.password.time_cost)
        stack.callback(hasher.close)
        yield wire(settings, db, hasher, sealer, clock or SystemClock(), places_of(settings, data))


def wire(  # noqa: PLR0915  the one place where everything meets
    settings: Settings, db: Database, hasher: Argon2Hasher, sealer: KeyFileSealer, clock: Clock, places: Places
) -> Services:
    """Give every room what it needs."""
    site = Site.at(settings.public_url, settings.server.trusted_proxies)
    csrf = Csrf(site, sealer)
    audit = AuditTrail(sealer, clock)
    refusals = Refusals(db, clock, audit)
    limits = load_limits(settings.limits)
    # What costs money or fills strangers' inboxes is counted in the database: a restart gives nothing back.
    durable = DatabaseLimiter(db, clock, sealer, limits)
    shared = settings.server.workers > 1 or settings.database.url is not None
    limiter = durable if shared else MemoryLimiter(clock, limits)
    outbox = Outbox(clock, sealer, settings.can_mail, settings.can_text)
    renderer = message_renderer(settings)
    delivery = Delivery(
        db, clock, sealer, renderer, smtp_mailer(settings, clock), sms_messenger(settings),
        settings.mail.timeout_seconds,
    )  # fmt: skip
    confirmations = Confirmations(db, clock, sealer, durable, refusals)

    def revoke(user_id: str, now: Instant, end: SessionsEnd | None) -> Work[None]:
        # Sessions and keys lie above users, and are made after them.
        if end is not None:
            yield from api_keys.end_all(user_id, end.caller, end.actor_id)
        yield from sessions.revoke_user(user_id, now, end)

    schema = Schema(settings.fields, settings.users.read)
    reserved = reserved_keys(settings.signup.reserved_names)
    events = UserEvents(db, clock)
    users = UsersService(db, clock, audit, schema, revoke, reserved, events.tell)
    sends = SendLimits(durable, refusals)
    notices = SecurityNotices(outbox, confirmations, sealer, limits.notice)
    policy = PasswordPolicy(minimum_length=settings.password.minimum_length, site=settings.site.name)
    passwords = PasswordService(
        db, clock, hasher, limiter, sealer, audit, refusals, policy, limits=limits, told=notices.many_failures
    )
    passwords.breach = breach_check(settings)
    challenges = FactorChallenges(db, clock, sealer)
    factors = Factors(
        db, clock, sealer, hasher, passwords.tries, audit, users, confirmations, outbox, sends, notices,
        factor_policy(settings), RelyingParty.at(site.public_url, settings.site.name, site.origins), challenges,
    )  # fmt: skip
    binding = Binding(db, clock, hasher, audit, users, factors, challenges, settings.site.name)
    sessions = Sessions(
        db, clock, audit, refusals, PROFILES[settings.sessions.profile], factors, limits.known_device,
        csrf.token_for_session,
    )  # fmt: skip
    api_keys = ApiKeys(
        db, clock, audit, refusals, users, sessions, limiter, notices, outbox, limits.api_key, settings.apikeys.scopes
    )
    undo_since: Sequence[UndoSince] = (  # a later room that opens accounts adds its own
        binding.remove_since,
        api_keys.undo_since,
    )
    sessions.tell = events.tell
    receivers = webhook_client(settings)
    passwords.tries.fail_device = sessions.fail_device
    sessions.told_of_device = partial(_tell_of_device, notices, places)
    # Neither a new password nor the end of all sessions is outlived by what somebody else may have begun (C8, C9).
    sessions.forget = confirmations.end_of_user
    cool_off = CoolOff(
        db, clock, users, sessions, factors, confirmations, outbox, sends, audit, settings.factors.cool_off
    )
    sessions.shown_factor = cool_off.end

    def forget(user_id: str) -> Work[None]:
        yield from confirmations.end_of_user(user_id)
        yield from cool_off.end(user_id, OURSELVES)

    passwords.forget = forget
    tokens = AccessTokens(SigningKeys(db, clock, sealer), site.public_url, clock)
    guard = SignUpGuard(Challenges(sealer, clock), clock, limiter, durable, refusals)
    chosen = settings.signup
    rules = RegistrationRules.of(chosen.allow_domains, chosen.deny_domains, chosen.disposable_domains_file)
    sign_up = SignUp(clock, guard, users, passwords, sessions, audit, confirmations, outbox, sends, rules)
    first = FirstPasskeys(binding, challenges)
    by_email = SignUpByEmail(
        db, clock, guard, users, passwords, sessions, audit, confirmations, outbox, sends, settings.site.name, rules,
        first,
    )  # fmt: skip
    contacts = Contacts(
        db, clock, users, passwords, sessions, confirmations, outbox, sends, notices, audit, refusals, rules.error,
        required=settings.signup.identifier == "email", undo_since=undo_since,
    )  # fmt: skip
    phones = Phones(
        db, clock, users, sessions, confirmations, outbox, sends, notices, audit, refusals, settings.sms.countries
    )
    leaving = Leaving(db, clock, users, sessions, outbox)
    sign_in_by_email = SignInByEmail(db, clock, users, passwords, sessions, confirmations, outbox, sends, audit)
    flows: dict[Purpose, Flow] = {
        "sign_up": Flow(by_email.confirm, by_email.resend, new_password_elsewhere=True),
        "email": Flow(contacts.confirm, contacts.renew),
        "phone": Flow(phones.confirm, phones.renew, at_verify=False),
    }
    if settings.signin.email_link:
        flows["sign_in"] = Flow(sign_in_by_email.confirm, sign_in_by_email.resend, at_verify=False)
    return Services(
        settings=settings,
        db=db,
        clock=clock,
        sealer=sealer,
        sealing=SealingKeys(db, sealer, sealer, audit),
        hasher=hasher,
        limiter=limiter,
        durable=durable,
        audit=audit,
        refusals=refusals,
        outbox=outbox,
        renderer=renderer,
        mailbox=Mailbox(db, sealer, renderer) if settings.mailbox else None,
        delivery=delivery,
        sends=sends,
        confirmations=confirmations,
        schema=schema,
        users=users,
        directory=Directory(db, schema, clock),
        passwords=passwords,
        factors=factors,
        binding=binding,
        notices=notices,
        sessions=sessions,
        keys=tokens.keys,
        tokens=tokens,
        apps=apps_of(
            db,
            clock,
            sealer,
            audit,
            refusals,
            notices,
            users,
            sessions,
            tokens,
            passwords.tries,
            tuple(settings.fields),
            (api_keys.introspect,),
        ),
        sign_up=sign_up,
        sign_up_by_email=by_email,
        sign_up_by_passkey=SignUpByPasskey(
            guard, passwords.tries, first, sign_up, by_email if settings.signup.identifier == "email" else None
        ),
        invitations=Invitations(db, clock, users, passwords, sessions, audit, confirmations, outbox),
        verification=Verification(confirmations, flows),
        sign_in=SignIn(db, clock, users, passwords, sessions, confirmations, outbox, sends, audit),
        second=SecondStep(db, clock, users, sessions, factors, binding, audit),
        cool_off=cool_off,
        sign_in_by_email=sign_in_by_email,
        recovery=Recovery(
            db,
            clock,
            users,
            passwords,
            notices,
            sessions,
            confirmations,
            outbox,
            sends,
            audit,
            factors,
            binding,
            api_keys.end_all,
        ),
        not_me=NotMe(
            db,
            clock,
            users,
            passwords,
            notices,
            sessions,
            confirmations,
            audit,
            AuditReader(db, audit),
            refusals,
            undo_since,
            lambda user, caller, now: binding.remove_of_kind(user, RECOVERY, caller, now),
        ),
        api_keys=api_keys,
        events=events,
        sender=EventSender(db, clock, sealer, receivers),
        webhooks=Webhooks(db, clock, sealer, audit, receivers),
        account=Account(db, clock, users, passwords, sessions, audit, refusals, contacts, notices, leaving),
        contacts=contacts,
        phones=phones,
        steps=Steps(db, clock, users, passwords, sessions, factors, binding, refusals),
        activity=Activity(AuditReader(db, audit), clock, places.find),
        leaving=leaving,
        export=Export(db, clock, users, sessions, audit, limiter, refusals, settings.site.name, exports()),
        setup=Setup(db, clock, users, sign_up, audit),
        importer=Importer(db, clock, audit, schema, hasher.recognises, passwords.set_password, events.tell),
        csrf=csrf,
        idempotency=Idempotency(db, clock, sealer, passwords.tries.admit),
        places=places,
    )


def apps_of(  # noqa: PLR0913, PLR0917  it stands above nearly everything
    db: Database,
    clock: Clock,
    sealer: Sealer,
    audit: AuditTrail,
    refusals: Refusals,
    notices: SecurityNotices,
    users: UsersService,
    sessions: Sessions,
    tokens: AccessTokens,
    tries: Tries,
    fields: Sequence[str],
    others: Sequence[Introspector],
) -> Apps:
    """What speaks to apps; whatever ends a session ends what they were given in it.

    `others`: what secrets of other rooms, such as API keys, may be asked about.
    """
    issuer = tokens.issuer
    families = Families(db, clock, sealer, users, sessions, audit, notices)
    sessions.end_of_session, sessions.end_of_user = families.end_of_session, families.end_of_user
    signed = SignedStatements(db, clock, issuer)
    clients = Clients(db, clock, audit, refusals, tokens.keys, sessions, signed, tries, fields, issuer)
    grants = Grants(db, clock, clients, families, signed, tokens, users)
    following = Following(db, clock, sessions)
    sessions.feed.heard = following.hear
    return Apps(
        clients=clients,
        families=families,
        grants=grants,
        authorize=Authorize(db, clock, sealer, clients, sessions, audit, issuer),
        live=Live(db, clock, clients, families, grants, signed, sessions, users, tokens, audit, others),
        following=following,
        forward=Forward(db, clock, sealer, clients, families, sessions, users, issuer),
    )


def breach_check(settings: Settings) -> BreachCheck:
    """Who knows the passwords that have leaked."""
    url = settings.password.range_url
    return NothingLeaked() if url is None else PwnedPasswords(GuardedHttp(seconds=BREACH_SECONDS), url)


def _tell_of_device(notices: SecurityNotices, places: Places, user: User, caller: Caller, now: Instant) -> Work[None]:
    place = places.find(caller.address, user.locale or "en") or ""
    yield from notices.new_device(user, describe(caller.user_agent), caller.address, now, place)


def webhook_client(settings: Settings) -> GuardedHttp:
    """Who carries events to apps."""
    allowed = PRIVATE_NETWORKS if settings.webhooks.allow_private_networks else ()
    return GuardedHttp(allowed, seconds=WEBHOOK_SECONDS)


def factor_policy(settings: Settings) -> FactorPolicy:
    """Who has to have a second factor, and which are offered."""
    chosen = settings.factors
    sent = {"sms_code": chosen.sms and settings.can_text, "email_code": chosen.email and settings.can_mail}
    offered = frozenset(name for name in all_kinds() if sent.get(name, True))
    return FactorPolicy(chosen.required, chosen.grace_days * DAY, offered)


def places_of(settings: Settings, data: DataDir) -> Places:
    """Who knows where an address is; nobody where no file is configured."""
    file = settings.server.geoip_file
    return NoPlaces() if file is None else GeoipPlaces(Path(file), data.path)


def exports() -> Sequence[Exporting]:
    """What users get when they ask for their data, in this order. A room that keeps something of them adds a line."""
    return (
        Part("profile.json", msgid("Your profile with every field, your roles, and when it changed"), export_profile),
        Part("contacts.json", msgid("Your e-mail address and phone number, since when confirmed"), export_contacts),
        Part("sessions.json", msgid("Where you are signed in"), export_sessions),
        Part("devices.json", msgid("Browsers that are known as yours: since when, and when last used"), export_devices),
        Part("authenticators.json", msgid("What you prove who you are with, without secrets"), export_authenticators),
        Part("keys.json", msgid("Your API keys, without their secrets"), export_keys),
        Part("activity.json", msgid("What happened to your account: the newest 5,000 events"), export_activity),
        Part("messages.json", msgid("What was sent to you lately: kind and time, not the contents"), export_sent),
    )


def message_renderer(settings: Settings) -> Renderer:
    """Who puts messages into words. Raises StartRefused for a logo or a folder that cannot be used."""
    logo, templates = settings.site.logo, settings.mail.templates
    return Renderer(
        settings.public_url,
        settings.site.name,
        settings.site.support,
        None if logo is None else Path(logo),
        None if templates is None else Path(templates),
    )


def smtp_mailer(settings: Settings, clock: Clock) -> SmtpMailer | None:
    """Who carries our mails; None where nobody does."""
    mail = settings.mail
    if mail.url is None:
        return None
    name = urlsplit(settings.public_url).hostname or "localhost"
    greeting = f"[IPv6:{name}]" if ":" in name else name  # RFC 5321 §4.1.3
    return SmtpMailer(parse_mail_server(mail.url), parse_sender(mail.from_), clock, greeting, mail.timeout_seconds)


def sms_messenger(settings: Settings) -> TextMessenger | None:
    """Who carries our text messages; None where nobody does."""
    sms = settings.sms
    if sms.provider == "twilio":
        token = sms.twilio_auth_token or ""  # the configuration's checks insist on it
        return TwilioMessenger(GuardedHttp(), sms.twilio_account_sid, token, sms.twilio_from)
    if sms.provider == "http":
        outbound = GuardedHttp(PRIVATE_NETWORKS if sms.allow_private_networks else ())
        return GatewayMessenger(outbound, sms.url or "", sms.header_fields, sms.body, sms.content_type)
    return None


class App:
    """The ASGI application: opens everything at lifespan start-up, closes it at shutdown."""

    def __init__(
        self,
        settings: Settings,
        data: DataDir,
        clock: Clock | None = None,
        open_database: OpenDatabase = open_database,
    ) -> None:
        """Build nothing yet: databases and keys belong to the event loop that will serve."""
        self._settings = settings
        self._data = data
        self._clock = clock
        self._open_database = open_database
        self._front: Front | None = None
        self.services: Services | None = None
        self.refused: StartRefused | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection or the lifespan."""
        if scope["type"] == "http" and self._front is not None:
            await self._front(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    def stopping(self) -> None:
        """Answer no longer what has no end: the server is about to wait for what is under way."""
        if self.services is not None:
            self.services.apps.following.stop()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with contextlib.AsyncExitStack() as stack:
            if (failure := await self._start(stack)) is not None:
                await send({"type": "lifespan.startup.failed", "message": failure})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self, stack: contextlib.AsyncExitStack) -> str | None:
        """Begin to run until `stack` unwinds; what stops us, for the operator."""
        try:
            await stack.enter_async_context(self.running())
        except Problem as problem:
            return f"{problem.detail} ({problem.reason})"  # the operator reads this, so the private reason is told
        except StartRefused as refused:
            self.refused = refused
            return str(refused)
        return None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Services]:
        """Open everything and serve until the block ends; for servers, and for tests in process."""
        refuse_without_mail(self._settings)
        opening = open_services(self._settings, self._data, self._clock, self._open_database)
        async with opening as services, contextlib.AsyncExitStack() as s:
            await services.keys.ready()
            await services.sessions.start()
            s.push_async_callback(services.sessions.stop)
            s.callback(services.apps.following.stop)
            services.renderer.check()
            services.places.open()
            services.outbox.wake = services.delivery.wake
            services.delivery.start()
            s.push_async_callback(services.delivery.stop)
            services.events.wake = services.sender.wake
            services.sender.start()
            s.push_async_callback(services.sender.stop)
            for chore in (
                repeat(PURGE_EVERY_SECONDS, "purge", partial(_purge, services)),
                repeat(ERASE_EVERY_SECONDS, "erase", services.leaving.erase_due),
                repeat(KEYS_EVERY_SECONDS, "keys", services.keys.follow),
                repeat(PURGE_EVERY_SECONDS, "reminders", services.api_keys.remind),
                repeat(PLACES_EVERY_SECONDS, "places", services.places.renew),
                repeat(FOLLOW_SECONDS, "sealing", services.sealing.follow),
            ):
                s.callback(asyncio.create_task(chore).cancel)
            await _note(services, Event.SYS_STARTUP)
            s.push_async_callback(_note_shutdown, services)
            self.services = services
            self._front = front(services)
            yield services


def refuse_without_mail(settings: Settings) -> None:
    """Refuse to serve where nobody could ever finish to sign up. Raises StartRefused."""
    if settings.signup.identifier == "email" and not settings.can_mail:
        raise StartRefused(
            '[mail] url is missing: with [signup] identifier = "email" people sign up by a mail that Doorward sends. '
            'Set url and from in [mail], or begin a new data directory with identifier = "uid".'
        )


def build(settings: Settings, data: DataDir) -> App:
    """The application for a server."""
    return App(settings, data)


def front(services: Services) -> Front:
    """HTTP over the rooms."""
    settings = services.settings
    site = services.csrf.site
    pages = Pages(
        settings.site.name,
        support=settings.site.support,
        directory=settings.users.directory,
        mailbox=settings.mailbox,
    )
    gate = Gate(
        site, Cookies(site.secure), services.csrf, pages, partial(find_session, services), services.clock,
        services.sessions.keep_form, services.api_keys.find, services.api_keys.note_leak,
        services.idempotency.once,
    )  # fmt: skip
    rooms = operations(services, gate, site)
    lanes: dict[str, Lane] = {
        **static_lanes(pages.static_files()),
        "/livez": fixed_lane(JSON, LIVE),
        SCRIPT: script_lane(load_script()),
        CURRENT: CurrentSessionLane(services.sessions, gate.cookies.session),
    }
    return Front(gate, rooms, lanes, services.apps.clients.knows_origin)


def operations(services: Services, gate: Gate, site: Site) -> tuple[Operation, ...]:
    """The whole route table."""
    settings, schema, apps = services.settings, services.schema, services.apps
    by_email = services.sign_up_by_email if settings.signup.identifier == "email" else None
    cookies = SessionCookies(gate, services.sessions)
    shown = settings.users.directory
    frame = Frame(services.contacts, services.phones, services.steps, services.cool_off.pending)
    begun = Begun(cookies, services.csrf, services.tokens, site.public_url)
    second = services.second
    found: list[Operation] = []

    def api_document() -> dict[str, object]:
        return describe_api(
            found, title=settings.site.name, public_url=site.public_url, session_cookie=gate.cookies.session
        )

    async def database_answers() -> None:
        await services.db.search(migrate.find_version())

    violations = Seldom("csp_violation", services.clock)
    checks = {"database": database_answers, "sealing key": services.sealing.check}
    system = SystemRoutes(gate, checks, services.keys.jwks, api_document, violations)
    found.extend(
        (
            *SignUpRoutes(
                gate,
                services.sign_up,
                cookies,
                schema,
                by_email,
                settings.signup.invitation_only,
                services.factors.party.takes_passkeys,
                settings.signup.confirm_password,
            ).operations(),
            *PasskeySignUpRoutes(
                gate,
                services.sign_up_by_passkey,
                cookies,
                schema,
                services.factors.party.takes_passkeys,
                settings.signup.invitation_only,
            ).operations(),
            *InvitationRoutes(
                gate, services.invitations, cookies, schema, (*BUILT_IN_ROLES, *settings.roles)
            ).operations(),
            *VerificationRoutes(gate, services.verification, cookies, services.passwords.policy).operations(),
            *SignInRoutes(gate, services.sign_in, second, cookies, begun, settings.signin.email_link).operations(),
            *StepRoutes(gate, second, cookies, begun, services.cool_off, settings.site.support).operations(),
            *(CoolOffRoutes(gate, second, services.cool_off).operations() if settings.factors.cool_off else ()),
            *StepApi(gate, second, cookies, begun).operations(),
            *(
                EmailSignInRoutes(gate, services.sign_in_by_email, cookies).operations()
                if settings.signin.email_link
                else ()
            ),
            *(() if services.mailbox is None else MailboxRoutes(gate, services.mailbox).operations()),
            *RecoveryRoutes(gate, services.recovery).operations(),
            *NotMeRoutes(gate, services.not_me).operations(),
            *SessionRoutes(gate, services.sessions, cookies, services.places).operations(),
            *UsersApi(gate, services.account, services.directory, schema, cookies, shown).operations(),
            *AccountRoutes(
                gate,
                services.account,
                services.sessions,
                cookies,
                services.directory,
                schema,
                shown,
                frame,
                services.places,
            ).operations(),
            *ContactRoutes(gate, services.contacts, services.phones, frame).operations(),
            *StepPages(gate, services.steps, cookies, frame, AUTHORIZE).operations(),
            *KeyPages(gate, services.api_keys, frame).operations(),
            *EventsApi(services.events).operations(),
            *KeysApi(gate, services.api_keys).operations(),
            *StepsApi(gate, services.steps, cookies).operations(),
            *ActivityRoutes(gate, services.activity, frame, not_me=True).operations(),
            *DataRoutes(gate, services.export, frame).operations(),
            *OidcRoutes(gate, apps.authorize, apps.grants, apps.live, apps.following).operations(),
            *ForwardRoutes(gate, apps.forward).operations(),
            *SetupRoutes(gate, services.setup, cookies, schema).operations(),
            *system.operations(),
        )
    )
    return tuple(found)


async def find_session(services: Services, transport: str, secret: str) -> Session | None:
    """The live session behind a cookie, a bearer token or a JWT of ours that names it."""
    if transport == "cookie":
        return await services.sessions.find(secret, "cookie")
    if secret.count(".") == 2:  # noqa: PLR2004  a JWS has three parts (RFC 7515 §7.1)
        claims = services.tokens.verify(secret, services.csrf.site.public_url)
        if claims.client_id != FIRST_PARTY:
            return None  # an app's token opens what its scope names, not the account
        session = await services.sessions.find_by_id(claims.sid)
        # Proving anew who one is replaces the session's secret, and with it every JWT made before (ASVS 7.2.4).
        return session if session is not None and session.auth_time // SECOND == claims.auth_time else None
    return await services.sessions.find(secret, "bearer")


async def _note(services: Services, event: Event) -> None:
    """Write down that a process begins or ends to serve."""
    await services.db.write(
        lambda: services.audit.record(event, Outcome.SUCCESS, LOCAL_OPERATOR, payload={"version": __version__})
    )


async def _note_shutdown(services: Services) -> None:
    """Write down what is still only in memory, and that we end. A database that is down keeps nobody here."""
    await services.refusals.flush()
    try:
        await _note(services, Event.SYS_SHUTDOWN)
    except Unavailable as problem:
        _log.warning("shutdown_not_recorded", reason=problem.reason)


async def _purge(services: Services) -> None:
    """Forget what has expired."""
    await services.refusals.flush()
    await services.sessions.purge()
    await services.apps.families.purge()
    await services.passwords.purge()
    await services.factors.purge()
    await services.cool_off.purge()
    await services.api_keys.purge()
    await services.events.purge()
    await services.confirmations.purge()
    await services.delivery.purge()
    await services.durable.purge()
    await services.idempotency.purge()


async def repeat(seconds: float, name: str, chore: Callable[[], Awaitable[object]]) -> None:
    """Do a chore now and then. Whatever fails is logged and tried again: nothing depends on it."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await chore()
        except Problem as problem:
            _log.warning("chore_failed", chore=name, reason=problem.reason)
        except Exception:  # noqa: BLE001  a mistake of ours must not end the chore unheard
            _log.exception("chore_failed", chore=name)
