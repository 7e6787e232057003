/**
 * Doorward's client for browsers: who is signed in, and requests that say so. One file, no dependencies, no build.
 *
 *     import { doorward } from "https://id.example.org/doorward.js";
 *     const door = doorward({ clientId: "notes-1a2b3c4d", resource: "https://api.example.org" });
 *     const user = await door.user();
 *
 * With a `clientId` the page may have any origin: code + PKCE by a redirect (RFC 9700, RFC 7636), tokens bound to a key
 * that no script can read (DPoP, RFC 9449). Without one the page shares Doorward's origin and lives by its cookie.
 *
 * @license Apache-2.0
 */

const MINUTE = 60_000;
const LOOK_AGAIN = MINUTE / 6; // a tab that comes to the front asks no more often than this
const SIGN_IN_LASTS = 60 * MINUTE;
const REPLAY_LASTS = 15 * MINUTE; // as long as Doorward waits for a proof
const LONGEST_KEPT = 65_536; // characters of a request's body
const GRACE = MINUTE / 6; // in which Doorward answers a refresh token twice with the same successor
const PATIENCE = MINUTE / 2; // for the issuer: meanwhile every tab waits
const NEVER = new Promise(() => {}); // the answer of whatever leaves the page

/** What went wrong: `code` for programs (a word of OAuth or of this file), `message` for people who write them. */
export class DoorwardError extends Error {
  constructor(code, message, options) {
    super(message, options);
    this.name = "DoorwardError";
    this.code = code;
  }
}

const doors = new Map();

/**
 * The way to Doorward. Asked twice with the same options it is the same one: two could not share one callback.
 *
 * @param {import("./doorward").Options} [options]
 * @returns {import("./doorward").Doorward}
 */
export function doorward(options = {}) {
  const issuer = new URL(options.issuer ?? import.meta.url).origin;
  const name = JSON.stringify(["doorward", issuer, options]);
  if (!doors.has(name)) doors.set(name, options.clientId ? byTokens(issuer, options) : byCookie(issuer));
  return doors.get(name);
}

// By tokens: any origin -----------------------------------------------------------------------------------------------

function byTokens(issuer, { clientId, redirectUri, scope = "openid profile offline_access", resource }) {
  if (!isSecureContext) throw new DoorwardError("insecure_context", "only pages of https and localhost can keep keys");
  const name = ["doorward", issuer, clientId, resource].filter(Boolean).join(" ");
  const mark = digest(name).then((text) => text.slice(0, 8)); // begins every `state`: whose answer it is
  const userinfo = `${issuer}/oauth/userinfo`;
  const audience = resource && new URL(resource).origin;
  const nonces = new Map(); // by origin, where servers ask for them (RFC 9449 §8)
  const state = watched(name, hear, look);
  let access = null; // { token, until, pair }: in the memory of tabs, and nowhere else
  let skew = 0; // how far this device's clock is behind the issuer's, in ms: proofs are good for a minute
  let current; // the id of the session that it belongs to
  let refreshing;
  let expiry;

  const young = ({ at }) => Date.now() - at < SIGN_IN_LASTS;
  const now = () => Date.now() + skew;
  const fresh = (unlike) => access && access.token !== unlike && Date.now() < access.until && access;
  const locked = (work) => navigator.locks.request(name, work); // one tab at a time

  // Signing in --------------------------------------------------------------------------------------------------------

  async function signIn({ returnTo, acrValues, maxAge, loginHint, prompt } = {}) {
    const back = ownAddress(returnTo);
    // Not extractable: a script that got in can use it while the page is open, and carry nothing away.
    const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
    const begun = {
      pair,
      back,
      state: (await mark) + random(),
      nonce: random(),
      verifier: random(),
      uri: redirectUri ?? location.origin + location.pathname,
      at: Date.now(),
    };
    await change(name, "begun", (others = []) => [...others.filter(young), begun]);
    const query = {
      response_type: "code",
      client_id: clientId,
      redirect_uri: begun.uri,
      scope,
      state: begun.state,
      nonce: begun.nonce,
      code_challenge: await digest(begun.verifier),
      code_challenge_method: "S256",
      dpop_jkt: await digest(JSON.stringify(await publicHalf(pair))), // a stolen code is of no use without the key
      ...given({ resource, acr_values: acrValues, max_age: maxAge, login_hint: loginHint, prompt }),
    };
    location.assign(`${issuer}/oauth/authorize?${new URLSearchParams(query)}`);
    return NEVER;
  }

  /** Take the answer out of the address, and believe it if this browser asked for it. Whether that signed in. */
  async function complete() {
    const url = new URL(location.href);
    const answer = Object.fromEntries(url.searchParams);
    if (!answer.iss || !answer.state?.startsWith(await mark)) return false; // of something else on this page
    for (const one of ["code", "state", "iss", "error", "error_description"]) url.searchParams.delete(one);
    history.replaceState(history.state, "", url); // out of the history, and of what is sent as Referer
    let begun;
    await change(name, "begun", (all = []) => {
      begun = all.find((one) => one.state === answer.state);
      return all.filter((one) => one !== begun); // in one transaction: an answer counts once, in one tab
    });
    if (!begun || !young(begun)) {
      if (await change(name, "session")) return false; // an old address, or a planted one: whoever is signed in stays
      throw new DoorwardError("unknown_state", "this sign-in was not begun in this browser, or is over already");
    }
    if (answer.iss !== issuer) throw new DoorwardError("wrong_issuer", `asked ${issuer}, but ${answer.iss} answered`);
    if (answer.error) throw new DoorwardError(answer.error, answer.error_description ?? answer.error);

    const said = await post("token", begun.pair, {
      grant_type: "authorization_code",
      code: answer.code,
      redirect_uri: begun.uri,
      code_verifier: begun.verifier,
    });
    // What is of this token alone is left out: userinfo does not repeat it.
    const { iss, aud, exp, iat, nonce, at_hash, sid, acr, amr, auth_time, ...claims } = checked(said, begun.nonce);
    const proven = { acr, amr, auth_time };
    const user = person(claims, proven);
    await locked(async () => {
      const before = await keep({ id: begun.state, pair: begun.pair, proven, user }, said);
      if (before?.refresh) giveBack(before.refresh);
    });
    if (new URL(begun.back).pathname !== location.pathname) {
      location.replace(begun.back);
      await NEVER;
    }
    history.replaceState(history.state, "", begun.back);
    return true;
  }

  /**
   * The claims of an ID token. Its signature is not looked at: it came from the issuer itself over TLS, in answer to
   * our own request (OpenID Connect Core §3.1.3.7).
   */
  function checked(said, nonce) {
    const claims = JSON.parse(new TextDecoder().decode(bytes((said.id_token ?? "").split(".")[1] ?? "")) || "{}");
    const { iss, aud, exp, sub } = claims;
    if (iss !== issuer || aud !== clientId || claims.nonce !== nonce || !(exp * 1000 > now()) || !sub) {
      throw new DoorwardError("wrong_id_token", "the ID token is not an answer to this sign-in");
    }
    if (said.token_type !== "DPoP") throw new DoorwardError("not_bound", "the tokens are not bound to our key");
    return claims;
  }

  // Tokens ------------------------------------------------------------------------------------------------------------

  /** Keep what the issuer gave, tell the other tabs; what was there before. Within the lock. */
  async function keep(session, said) {
    let kept;
    const before = await change(name, "session", (found) => {
      const latest = found?.id === session.id ? found : session;
      return (kept = { ...latest, refresh: said.refresh_token, skew, trying: 0 });
    });
    const told = { token: said.access_token, until: Date.now() + said.expires_in * 1000 - MINUTE / 2 };
    state.tell({ id: kept.id, told });
    become(kept, told);
    return before;
  }

  /** An access token other than `unlike`; null when nobody is signed in. */
  function token(unlike) {
    const held = fresh(unlike);
    return held ? Promise.resolve(held) : (refreshing ??= refresh(unlike).finally(() => (refreshing = undefined)));
  }

  async function refresh(unlike) {
    const seen = await change(name, "session");
    return locked(async () => {
      const session = await change(name, "session");
      // While we waited for the lock another tab did it. What it tells us is on its way.
      const done = session && session.refresh !== seen?.refresh;
      if (!fresh(unlike) && done) await Promise.race([state.heard(), pause(1000)]);
      if (fresh(unlike)) return access;
      if (!session?.refresh) return gone();
      if (session.trying && Date.now() - session.trying > GRACE) {
        // A page was left before it heard what its refresh token was replaced by. That it comes again, so late, looks
        // like theft to Doorward and is told to the user; so it is given back.
        giveBack(session.refresh);
        return gone();
      }
      try {
        await trying(session.trying || Date.now());
        skew = session.skew;
        const said = await post("token", session.pair, { grant_type: "refresh_token", refresh_token: session.refresh });
        await keep(session, said);
        return access;
      } catch (error) {
        if (error.code === "invalid_grant") return gone(); // ended elsewhere
        await trying(0);
        throw error;
      }
    });
  }

  const trying = (since) => change(name, "session", (session) => session && { ...session, trying: since });

  /** Nobody is signed in any more: forget it all, in every tab. Within the lock. */
  async function gone() {
    if (await change(name, "session", () => undefined)) state.tell({});
    become();
    return null;
  }

  /** Another tab has changed something. What is kept counts, not the order in which we hear of it. */
  async function hear({ id, told }) {
    const session = await change(name, "session");
    const ours = session?.id === current ? access : null;
    become(session, session?.id === id && told ? told : ours);
  }

  function become(session, told) {
    current = session?.id;
    skew = session?.skew ?? skew;
    access = session && told ? { ...told, pair: session.pair } : null;
    clearTimeout(expiry);
    if (access) expiry = setTimeout(() => document.hidden || look(), access.until - Date.now());
    state.become(session?.user ?? null);
  }

  const giveBack = (refreshToken) =>
    post("revoke", null, { token: refreshToken, token_type_hint: "refresh_token" }).catch(() => {
      // It is of no use to anybody: it is bound to a key that is gone.
    });

  async function signOut({ everywhere, returnTo } = {}) {
    const back = ownAddress(returnTo);
    await locked(async () => {
      const session = await change(name, "session");
      await gone();
      if (session?.refresh) await giveBack(session.refresh);
    });
    // Other apps and devices are Doorward's own business: there they are listed, and ended with one press.
    if (everywhere) location.assign(`${issuer}/account/sessions`);
    else if (returnTo) location.assign(back);
  }

  // Who ---------------------------------------------------------------------------------------------------------------

  async function begin() {
    // What was kept says who it was; a server that cannot say more at this moment signs nobody out.
    if (!(await complete()) && (await token())) await ask().catch(() => {});
  }

  /** Ask who the user is by now, and whether they still are. */
  async function ask() {
    const answer = await request(userinfo);
    if (!answer.ok) return;
    const claims = await answer.json();
    const told = JSON.stringify(state.user);
    await change(name, "session", (session) => {
      if (session?.user.id !== claims.sub) return session; // another user by now
      const user = person(claims, session.proven);
      state.become(user);
      return { ...session, user };
    });
    if (JSON.stringify(state.user) !== told) state.tell({});
  }

  const person = ({ sub, name: called = null, preferred_username: uid = null, ...claims }, proven) => ({
    ...claims,
    ...proven,
    id: sub, // last: an app's own fields may have any name
    name: called,
    uid,
  });

  function look() {
    if (state.user) ask().catch(() => {}); // no network: nothing is known, nothing is changed
  }

  // Requests ----------------------------------------------------------------------------------------------------------

  async function request(input, init, again = true) {
    const asked = new Request(input, init); // looked at as it will be sent: what an input says may change
    const toApi = new URL(asked.url).origin === audience;
    if ((!toApi && asked.url !== userinfo) || asked.headers.has("authorization")) return fetch(asked);
    if (toApi) await state.first();
    let held = await token();
    if (!held) return fetch(asked);
    let answer = await send(asked, held);
    if (answer.status !== 401) return answer;
    const wanted = stronger(answer);
    if (wanted) {
      if (!again || !(await keepForLater(name, asked, state.user))) return answer;
      const told = (what) => new RegExp(`\\b${what}="?([^",]*)`).exec(wanted)?.[1];
      return signIn({ acrValues: told("acr_values"), maxAge: told("max_age") });
    }
    held = await token(held.token); // it may have been called back before its time
    return held ? send(asked, held) : answer;
  }

  async function send(asked, held) {
    for (let tries = 2; ; tries--) {
      const headers = new Headers(asked.headers);
      headers.set("Authorization", `DPoP ${held.token}`);
      headers.set("DPoP", await proof(held.pair, asked.method, asked.url, held.token));
      const answer = await straight(asked, headers);
      const wanted = noted(answer, asked.url) && /use_dpop_nonce/.test(answer.headers.get("www-authenticate"));
      if (tries < 2 || !wanted) return answer;
    }
  }

  /** Ask the issuer; every answer but 200 is a DoorwardError with its word. */
  async function post(path, pair, fields) {
    const url = `${issuer}/oauth/${path}`;
    const body = new URLSearchParams({ client_id: clientId, ...fields });
    for (let tries = 2; ; tries--) {
      const headers = pair ? { DPoP: await proof(pair, "POST", url) } : {};
      let answer;
      try {
        // Cookies have no business here. What is given back is given back even when the page is left.
        const how = { credentials: "omit", redirect: "error", keepalive: !pair, signal: AbortSignal.timeout(PATIENCE) };
        answer = await fetch(url, { method: "POST", body, headers, ...how });
      } catch (cause) {
        const told = `${issuer} cannot be reached, or does not know ${location.origin}`;
        throw new DoorwardError("unreachable", told, { cause });
      }
      const said = await answer.json().catch(() => ({}));
      if (answer.ok) return said;
      const date = Date.parse(answer.headers.get("date") ?? "");
      if (date) skew = date - Date.now();
      const retry = noted(answer, url) ? said.error === "use_dpop_nonce" : date && said.error === "invalid_dpop_proof";
      if (tries > 1 && retry) continue;
      throw said.error ? new DoorwardError(said.error, said.error_description) : unavailable(answer.status);
    }
  }

  /** Remember a nonce that a server wants in the next proof; whether there was one. */
  function noted(answer, url) {
    const nonce = answer.headers.get("dpop-nonce");
    if (nonce) nonces.set(new URL(url).origin, nonce);
    return nonce !== null;
  }

  /** RFC 9449 §4.2. */
  async function proof(pair, htm, address, accessToken) {
    const { origin, pathname } = new URL(address);
    const head = { typ: "dpop+jwt", alg: "ES256", jwk: await publicHalf(pair) };
    const ath = accessToken && (await digest(accessToken));
    const body = {
      jti: random(),
      htm,
      htu: origin + pathname,
      iat: Math.floor(now() / 1000),
      ...given({ ath, nonce: nonces.get(origin) }),
    };
    const text = [head, body].map((part) => base64url(new TextEncoder().encode(JSON.stringify(part)))).join(".");
    const how = { name: "ECDSA", hash: "SHA-256" };
    return `${text}.${base64url(await crypto.subtle.sign(how, pair.privateKey, new TextEncoder().encode(text)))}`;
  }

  return opened(name, state, { begin, signIn, signOut, request });
}

// By cookie: Doorward's own origin ------------------------------------------------------------------------------------

function byCookie(issuer) {
  if (issuer !== location.origin) {
    throw new DoorwardError("client_id_missing", `a page of another origin than ${issuer} needs a clientId`);
  }
  const name = `doorward ${issuer}`;
  const state = watched(name, load, () => load().catch(() => {}));
  let csrf;

  async function load() {
    const answer = await fetch("/api/sessions/current");
    if (!answer.ok && answer.status !== 401) throw unavailable(answer.status);
    const { user, csrf_token, aal, amr, auth_time } = answer.ok ? await answer.json() : {};
    csrf = csrf_token;
    state.become(user ? { ...user, acr: `aal${aal}`, amr, auth_time } : null);
  }

  async function signIn({ returnTo, acrValues, maxAge, prompt } = {}) {
    const { pathname, search, hash } = new URL(ownAddress(returnTo));
    await state.first();
    const again = state.user && (acrValues || maxAge !== undefined);
    const page = again ? "confirm" : prompt === "create" ? "sign-up" : "sign-in";
    location.assign(`/${page}?next=${encodeURIComponent(pathname + search + hash)}`);
    return NEVER;
  }

  async function signOut({ everywhere, returnTo } = {}) {
    const back = ownAddress(returnTo);
    const answer = await request(`/api/sessions${everywhere ? "" : "/current"}`, { method: "DELETE" });
    if (!answer.ok && answer.status !== 401) throw unavailable(answer.status);
    state.tell({});
    await load();
    if (returnTo) location.assign(back);
  }

  async function request(input, init, again = true) {
    const asked = new Request(input, init);
    if (new URL(asked.url).origin !== issuer) return fetch(asked);
    if (/^(GET|HEAD|OPTIONS)$/.test(asked.method)) return outcome(await fetch(asked.clone()), asked, again);
    await state.first();
    let answer = await sendWithToken(asked);
    if ((await codeOf(answer)) === "csrf_refused") {
      await load(); // another session by now
      answer = await sendWithToken(asked);
    }
    return outcome(answer, asked, again);
  }

  function sendWithToken(asked) {
    const headers = new Headers(asked.headers);
    if (csrf) headers.set("X-CSRF-Token", csrf);
    return straight(asked, headers);
  }

  async function outcome(answer, asked, again) {
    if (stronger(answer)) {
      if (again && state.user && (await keepForLater(name, asked, state.user))) return signIn({ maxAge: 0 });
    } else if (answer.status === 401 && state.user) await load();
    return answer;
  }

  const codeOf = async (answer) =>
    answer.status === 403 ? (await answer.clone().json().catch(() => ({}))).code : undefined;

  return opened(name, state, { begin: load, signIn, signOut, request });
}

// What both share -----------------------------------------------------------------------------------------------------

/** What a page holds, whichever way it is signed in. `begin` finds out who is there. */
function opened(name, state, { begin, signIn, signOut, request }) {
  state.begin = begin;
  return {
    signIn,
    signOut,
    user: async () => (await state.first(), state.user),
    fetch: request,
    replayed: (allow) => replayed(name, state, allow, request),
    onChange: state.onChange,
  };
}

/** Who is signed in, as far as this tab knows, and everybody who wants to hear of it: listeners here, other tabs. */
function watched(name, hear, look) {
  const listeners = new Set();
  const channel = new BroadcastChannel(name);
  let begun;
  let settled = false;
  let waiting = [];
  let looked = Date.now();

  channel.onmessage = async ({ data }) => {
    await hear(data);
    for (const done of waiting.splice(0)) done();
  };
  // Somebody who comes back to a tab has to see what has happened meanwhile.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !settled || Date.now() - looked < LOOK_AGAIN) return;
    looked = Date.now();
    look();
  });
  addEventListener("pageshow", (event) => event.persisted && look());

  const state = {
    user: null,
    begin: null, // set by the mode: find out who is there
    tell: (what) => channel.postMessage(what),
    heard: () => new Promise((done) => waiting.push(done)),
    first: () =>
      (begun ??= state
        .begin()
        .catch((error) => {
          begun = undefined; // whoever asks again tries again
          throw error;
        })
        .finally(() => (settled = true))),
    become(user) {
      const changed = JSON.stringify(user) !== JSON.stringify(state.user);
      state.user = user;
      // Each on its own: what one of them throws is not ours, and keeps it from no other.
      if (changed && settled) for (const listener of listeners) queueMicrotask(() => listener(user));
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  return state;
}

/**
 * Keep a request while somebody proves who they are; whether it could be kept. sessionStorage is of this tab alone.
 * Only text without passwords is kept: whoever sends another thing, such as a picture, gets the refusal and decides.
 */
async function keepForLater(name, asked, user) {
  const body = await asked.clone().text();
  const isText = /^(text\/|application\/([\w.-]+\+)?json|application\/x-www-form-urlencoded)/i;
  const secret = /pass(word|phrase|wd)|secret|credential/i;
  if (body.length > LONGEST_KEPT || secret.test(body)) return false;
  if (body && !isText.test(asked.headers.get("content-type"))) return false;
  const { method, url, headers } = asked;
  const kept = { method, url, headers: [...headers], ...(body && { body }), user: user.id, at: Date.now() };
  sessionStorage.setItem(name, JSON.stringify(kept));
  return true;
}

/** Send what was kept, once, as the same user and if `allow` agrees; null when there is nothing to send. */
async function replayed(name, state, allow = () => true, request) {
  const { user, at, url, ...init } = JSON.parse(sessionStorage.getItem(name) ?? "{}");
  sessionStorage.removeItem(name);
  await state.first();
  if (!url || state.user?.id !== user || at < Date.now() - REPLAY_LASTS) return null;
  return (await allow({ method: init.method, url })) ? request(url, init, false) : null;
}

/** Fetch without following redirects: what a request carries is for the address that it was sent to. */
async function straight(asked, headers) {
  const answer = await fetch(new Request(asked.clone(), { headers, redirect: "manual" }));
  if (answer.type !== "opaqueredirect") return answer;
  throw new DoorwardError("redirected", `${asked.url} answers with a redirect, which is not followed with a token`);
}

/** An address of this very origin, as a whole. `blob:` has our origin too, and is a document of somebody's making. */
function ownAddress(address = location.href) {
  const url = new URL(address, location.href);
  if (url.origin === location.origin && url.protocol === location.protocol) return url.href;
  throw new DoorwardError("foreign_address", `${url.href} is not on ${location.origin}`);
}

/**
 * Read a value and, with `to`, put another in its place (undefined: none) in the same transaction; the one before.
 * IndexedDB is the one place that can hold a key without showing it.
 */
function change(name, what, to) {
  return new Promise((done, failed) => {
    const opening = indexedDB.open(name, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("kept");
    opening.onerror = () => failed(opening.error);
    opening.onsuccess = () => {
      const transaction = opening.result.transaction("kept", to ? "readwrite" : "readonly");
      const kept = transaction.objectStore("kept");
      const reading = kept.get(what);
      reading.onsuccess = () => {
        const next = to?.(reading.result);
        if (next !== undefined) kept.put(next, what);
        else if (to) kept.delete(what);
      };
      transaction.oncomplete = () => done(reading.result);
      transaction.onerror = transaction.onabort = () => failed(transaction.error);
      opening.result.close(); // as soon as the transaction is over
    };
  });
}

/** What an answer says that asks for a stronger or fresher proof (RFC 9470); null for any other. */
function stronger(answer) {
  const challenge = answer.headers.get("www-authenticate");
  return challenge?.includes("insufficient_user_authentication") ? challenge : null;
}

const unavailable = (status) => new DoorwardError("unavailable", `the server answered ${status}`);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const given = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
const base64url = (data) =>
  btoa(String.fromCharCode(...new Uint8Array(data)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
const bytes = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));
const digest = async (text) => base64url(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));

/** The public half of a key pair as a JWK, in the order that its thumbprint wants (RFC 7638). */
async function publicHalf({ publicKey }) {
  const { crv, kty, x, y } = await crypto.subtle.exportKey("jwk", publicKey);
  return { crv, kty, x, y };
}
