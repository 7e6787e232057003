// Who is signed in, and how to ask the API. Everything else here leans on these two.

import { doorward, settings } from "./settings.js";

export { settings };

/**
 * Signs people in by a redirect to Doorward. The token it gets is kept in memory, is made out to our API, and counts only
 * with a key that no script can read; so nothing worth stealing lies in this page.
 */
export const door = doorward({ clientId: settings.clientId, resource: settings.api });

let here = new AbortController();

/** Give up whatever is under way: its answer was meant for somebody who is not here any more. */
export function giveUp() {
  here.abort();
  here = new AbortController();
}

/**
 * Ask the API, and get its answer.
 *
 * @param {string} method
 * @param {string} path
 * @param {object | Blob} [body] a Blob is sent as it is, everything else as JSON
 * @returns {Promise<Response>} rejects with a sentence for people when the API says no
 */
export async function call(method, path, body) {
  const { signal } = here;
  const init = { method, signal };
  if (body instanceof Blob) init.body = body;
  else if (body) Object.assign(init, { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  let answer;
  try {
    answer = await door.fetch(settings.api + path, init);
  } catch {
    signal.throwIfAborted();
    throw new Error("The server cannot be reached. Try again in a moment");
  }
  if (answer.ok) return answer;
  const { message } = await answer.json().catch(() => ({}));
  if (answer.status === 401) throw new Error(message ?? "You are not signed in any more");
  throw new Error(message ?? "That did not work. Try again in a moment");
}

/** The same, where the answer is JSON. */
export const ask = async (method, path, body) => (await call(method, path, body)).json();
