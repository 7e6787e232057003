// Passkeys. [data-passkey-sign-in] uses one, and offers them at once where a name is typed; [data-passkey-second] uses
// one, [data-passkey-create] makes one, [data-passkey-upgrade] makes one unasked. Within: a hidden button, shown where
// it can work, and a [role=alert] or [role=status] for data-refused or, if known better, data-cancelled, -network,
// -busy (429), -registered (here already), -added (unasked). data-options is POSTed data-options-body (JSON) and
// answers options, or { options }. The credential goes into the form around if that has a field `credential`, else to
// data-answer with data-answer-body; the page goes to the `path` answered or data-path, or loads anew. data-csrf: token

const API = window.PublicKeyCredential;
const nothing = () => {};

const say = (place, text = "") => {
  const line = place.querySelector("[role=alert], [role=status]");
  if (line) line.textContent = text;
};

const KNOWN = { NotAllowedError: "cancelled", InvalidStateError: "registered" };
const tell = (place, { name, sentence = KNOWN[name] }) => say(place, place.dataset[sentence] ?? place.dataset.refused);

const post = async ({ dataset }, what, more) => {
  const body = JSON.stringify({ ...JSON.parse(dataset[`${what}Body`] ?? "{}"), ...more });
  const headers = { "content-type": "application/json" };
  if (dataset.csrf) headers["x-csrf-token"] = dataset.csrf;
  const answer = await fetch(dataset[what], { method: "POST", headers, body }).catch(Response.error);
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  const sentence = answer.status === 429 ? "busy" : /^4/.test(answer.status) ? "refused" : "network";
  throw Object.assign(new Error(), { sentence, unknown: said.errors?.some(({ code }) => code === "unknown_passkey") });
};

// For older browsers, and password managers that cannot toJSON().
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt());
const letters = (data) =>
  btoa(String.fromCharCode(...new Uint8Array(data))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");

const READERS = { create: "parseCreationOptionsFromJSON", get: "parseRequestOptionsFromJSON" };
const read = (call, options) =>
  API[READERS[call]]?.(options) ??
  JSON.parse(JSON.stringify(options), function decode(key, value) {
    return key === "challenge" || (key === "id" && (this.type || "displayName" in this)) ? bytes(value) : value;
  });

const written = (credential) => {
  try {
    return credential.toJSON();
  } catch {
    const { id, type, response: from } = credential;
    const response = { transports: from.getTransports?.() };
    for (const part of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (from[part]) response[part] = letters(from[part]);
    }
    return { id, rawId: id, type, response };
  }
};

let asked = Promise.resolve(); // in turn: the server waits for what was asked last
const ask = (place) => {
  asked = asked.catch(nothing).then(() => post(place, "options"));
  return asked.then((said) => said.options ?? said);
};

const run = async (call, options, more) =>
  written(await navigator.credentials[call]({ publicKey: read(call, options), ...more }));

const hand = async (place, credential, { rpId }) => {
  const field = place.closest("form")?.elements.credential;
  if (field) {
    field.value = JSON.stringify(credential);
    return field.form.requestSubmit();
  }
  const { path = place.dataset.path } = await post(place, "answer", { credential }).catch((failure) => {
    if (failure.unknown) API.signalUnknownCredential?.({ rpId, credentialId: credential.id }).catch(nothing);
    throw failure;
  });
  return path ? location.assign(path) : location.reload();
};

let waiting; // until somebody picks one where a name is typed
const offer = async (place) => {
  const mine = (waiting = new AbortController());
  const again = () => waiting === mine && offer(place);
  const renew = () => {
    mine.abort();
    if (document.hidden) document.addEventListener("visibilitychange", again, { once: true });
    else again();
  };
  try {
    const options = await ask(place);
    const timer = setTimeout(renew, options.timeout * 0.9); // before the server forgets
    const choice = run("get", options, { mediation: "conditional", signal: mine.signal });
    const credential = await choice.finally(() => clearTimeout(timer));
    await hand(place, credential, options).catch((failure) => {
      tell(place, failure);
      again();
    });
  } catch {
    // nobody had asked for anything
  }
};

const onPress = (place, call, after = nothing) => {
  const button = place.querySelector("button");
  let busy = false;
  button.hidden = false;
  button.addEventListener("click", async () => {
    if (busy) return;
    busy = true;
    say(place);
    waiting = waiting?.abort(); // a browser runs one call at a time
    try {
      const options = await ask(place);
      await hand(place, await run(call, options), options);
    } catch (failure) {
      tell(place, failure);
      after(place);
    }
    busy = false;
  });
};

const upgrade = async (place) => {
  if (!(await API.getClientCapabilities?.())?.conditionalCreate) return;
  const credential = await run("create", await ask(place), { mediation: "conditional" });
  await post(place, "answer", { credential });
  say(place, place.dataset.added);
};

const each = (name, use) => document.querySelectorAll(`[data-passkey-${name}]`).forEach(use);

// At an IP address there are none.
if (API && !/^[\d.]+$|^\[/.test(location.hostname)) {
  each("create", (place) => onPress(place, "create"));
  each("second", (place) => onPress(place, "get"));
  each("upgrade", (place) => upgrade(place).catch(nothing));
  each("sign-in", async (place) => {
    const canWait = await API.isConditionalMediationAvailable?.();
    onPress(place, "get", canWait ? offer : nothing);
    if (canWait) offer(place);
  });
}
