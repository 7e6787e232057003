/** Doorward's client for browsers. See docs/javascript.md. */

export interface Options {
  /** Where Doorward is. Default: the origin that this module was loaded from. */
  issuer?: string;
  /** Given: the page has any origin, and lives by tokens. Absent: it has Doorward's own, and lives by its cookie. */
  clientId?: string;
  /** Where Doorward sends people back to, exactly as registered. Default: this page without query and fragment. */
  redirectUri?: string;
  /** Default: `openid profile offline_access`. Without `offline_access` a reload signs out. */
  scope?: string;
  /** The API that the access token is for (RFC 8707), as registered. Its origin, and no other, is sent the token. */
  resource?: string;
}

export interface User {
  /** Never changes: what to store. */
  id: string;
  name: string | null;
  /** Their handle. */
  uid: string | null;
  email?: string;
  /** How sure Doorward is of them: `aal1`, or `aal2` with a second factor. */
  acr?: string;
  [claim: string]: unknown;
}

export interface SignIn {
  /** Where to go on afterwards: an address of this origin. Default: this very page. */
  returnTo?: string;
  /** For instance `aal2`: with a second factor. */
  acrValues?: string;
  /** How many seconds ago they may have proven who they are; 0: now. */
  maxAge?: number | string;
  /** Whom to suggest. */
  loginHint?: string;
  /** `create`: begin at the sign-up page. By tokens alone. */
  prompt?: "create" | "login";
}

export interface Doorward {
  /** Leave the page for Doorward's. Rejects, with nothing done, when `returnTo` is another origin's. */
  signIn(options?: SignIn): Promise<never>;
  /** `everywhere`: go on to where Doorward lists all sessions (by cookie: end them all). */
  signOut(options?: { everywhere?: boolean; returnTo?: string }): Promise<void>;
  /** Who is signed in. Completes a sign-in when the page was loaded with its answer; rejects when that is refused. */
  user(): Promise<User | null>;
  /**
   * As the browser's own; to the API it brings the token, by cookie the CSRF token. When a stronger or fresher proof is
   * asked for, the page is left and the promise stays open; see `replayed`.
   */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  /**
   * After coming back from such a proof: send the request that waited for it, once, and if `allow` agrees; null when
   * none did.
   */
  replayed(allow?: (request: { method: string; url: string }) => boolean | Promise<boolean>): Promise<Response | null>;
  /** Called when the answer of `user` changes, also by another tab; what it returns takes the listener away. */
  onChange(listener: (user: User | null) => void): () => void;
}

export function doorward(options?: Options): Doorward;

/**
 * `code` is a word of OAuth, such as `access_denied` or `unmet_authentication_requirements`, or one of: unknown_state,
 * wrong_issuer, wrong_id_token, not_bound, foreign_address, redirected, unreachable, unavailable, client_id_missing,
 * insecure_context.
 */
export class DoorwardError extends Error {
  constructor(code: string, message?: string, options?: ErrorOptions);
  code: string;
}
