// A relying party on npm's openid-client. One line of JSON with its registration comes in, the address to send a
// browser to goes out; the address at which the browser came back comes in, all that the party was told goes out.
// It needs Node.js 18, which does not show its Web Crypto to everybody, so that comes before the library.
import { webcrypto } from "node:crypto";
import { createInterface } from "node:readline/promises";

globalThis.crypto ??= webcrypto;
globalThis.CryptoKey ??= webcrypto.CryptoKey;
const party = await import("openid-client");

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => JSON.parse((await lines.next()).value);
const say = (told) => console.log(JSON.stringify(told));

const given = await read();
const config = await party.discovery(
  new URL(given.issuer),
  given.client_id,
  undefined,
  party.ClientSecretBasic(given.client_secret),
  { execute: [party.allowInsecureRequests, party.enableNonRepudiationChecks] }, // verify ID tokens by the JWKS, too
);
const pkceCodeVerifier = party.randomPKCECodeVerifier();
const expectedState = party.randomState();
const expectedNonce = party.randomNonce();
const url = party.buildAuthorizationUrl(config, {
  redirect_uri: given.redirect_uri,
  scope: given.scope,
  code_challenge: await party.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: "S256",
  state: expectedState,
  nonce: expectedNonce,
  prompt: "login",
});
say({ url });

const back = new URL((await read()).url);
const tokens = await party.authorizationCodeGrant(config, back, {
  pkceCodeVerifier,
  expectedState,
  expectedNonce,
  idTokenExpected: true,
});
const claims = tokens.claims();
const userinfo = await party.fetchUserInfo(config, tokens.access_token, claims.sub);
const renewed = await party.refreshTokenGrant(config, tokens.refresh_token);
say({
  nonce: expectedNonce,
  claims,
  userinfo,
  renewed: {
    is_another: renewed.access_token !== tokens.access_token && renewed.refresh_token !== tokens.refresh_token,
    userinfo: await party.fetchUserInfo(config, renewed.access_token, claims.sub),
  },
});
process.exit();
