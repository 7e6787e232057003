// Tells password managers which passkeys there still are and what their owner is called now (WebAuthn level 3 §5.1.10).
// [data-passkey-signal] has data-rp-id, data-user-id, and data-credentials (ids, JSON) or data-name, data-display-name.

const tell = async ({ rpId, userId, credentials, name, displayName }) => {
  const browser = window.PublicKeyCredential;
  const ids = credentials && JSON.parse(credentials);
  if (ids) await browser?.signalAllAcceptedCredentials?.({ rpId, userId, allAcceptedCredentialIds: ids });
  if (name) await browser?.signalCurrentUserDetails?.({ rpId, userId, name, displayName });
};

for (const { dataset } of document.querySelectorAll("[data-passkey-signal]")) {
  tell(dataset).catch(() => {}); // a courtesy; at an IP address there are no passkeys anyway
}
