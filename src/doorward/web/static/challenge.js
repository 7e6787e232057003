// Does the work that a sign-up is asked for when there are many (signup/challenge.py), while the form is filled in.

const bytes = (hex) => Uint8Array.from(hex.match(/../g), (pair) => Number.parseInt(pair, 16));

const digest = async (number, salt, iterations) => {
  const key = await crypto.subtle.importKey("raw", new TextEncoder().encode(number), "PBKDF2", false, ["deriveBits"]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt, iterations };
  return new Uint8Array(await crypto.subtle.deriveBits(how, key, 256));
};

const solve = async ({ salt, target, iterations, numbers }) => {
  const [salted, wanted] = [bytes(salt), bytes(target)];
  for (let number = 0; number < Number(numbers); number += 1) {
    const found = await digest(String(number), salted, Number(iterations));
    if (found.every((byte, index) => byte === wanted[index])) return String(number);
  }
  return "";
};

for (const place of document.querySelectorAll("[data-challenge]")) {
  const form = place.closest("form");
  const answer = place.querySelector("[name=challenge_number]");
  const status = place.querySelector("[role=status]");
  let waiting = false;
  // Before form.js looks: whoever is quicker than the work is sent on as soon as it is done.
  const hold = (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
    waiting = true;
    status.textContent = place.dataset.working;
  };
  form.addEventListener("submit", hold, { capture: true });
  solve(place.dataset)
    .catch(() => "") // an old browser, or no secure context: the server then takes patience instead
    .then((number) => {
      answer.value = number;
      form.removeEventListener("submit", hold, { capture: true });
      status.textContent = number ? place.dataset.done : place.dataset.patience;
      if (waiting) form.requestSubmit();
    });
}
