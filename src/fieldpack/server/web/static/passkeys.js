// Passkeys: forms with data-passkey ask the server what to ask the browser, and send what it answers.

if (window.PublicKeyCredential && window.isSecureContext) {
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      if (form.elements.credential.value) return;
      event.preventDefault();
      void ask(form);
    });
  }
}

/** Ask the browser, and send its answer. */
async function ask(form) {
  const button = form.querySelector("button");
  const failed = form.querySelector(".passkey-failed");
  failed.hidden = true;
  button.disabled = true;
  try {
    const answer = await fetch(form.dataset.options, { method: "POST" });
    if (!answer.ok) throw new Error(String(answer.status));
    const publicKey = decode(await answer.json());
    const made = form.dataset.passkey === "new"
      ? await navigator.credentials.create({ publicKey })
      : await navigator.credentials.get({ publicKey });
    form.elements.credential.value = JSON.stringify(encode(made));
    form.submit();
  } catch {
    failed.hidden = false;
    button.disabled = false;
  }
}

/** What the server asks, with its base64url as bytes (older browsers have no parse…OptionsFromJSON). */
function decode(value, within = "") {
  if (Array.isArray(value)) return value.map((inner) => decode(inner, within));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [
    name,
    name === "challenge" || (name === "id" && within !== "rp") ? toBytes(inner) : decode(inner, name),
  ]));
}

function toBytes(text) {
  const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(plain, (character) => character.charCodeAt(0));
}

function toText(buffer) {
  let plain = "";
  for (const byte of new Uint8Array(buffer)) plain += String.fromCharCode(byte);
  return btoa(plain).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** A credential as JSON (WebAuthn Level 3, RegistrationResponseJSON and AuthenticationResponseJSON). */
function encode({ id, rawId, type, response, authenticatorAttachment }) {
  const fields = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (response[name]) fields[name] = toText(response[name]);
  }
  return { id, rawId: toText(rawId), type, authenticatorAttachment, clientExtensionResults: {}, response: fields };
}
