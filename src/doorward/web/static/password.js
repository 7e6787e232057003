// Passwords can be shown while they are typed, and Caps Lock is pointed out.

const show = (input, button, shown) => {
  input.type = shown ? "text" : "password";
  button.setAttribute("aria-pressed", String(shown));
};

for (const button of document.querySelectorAll("[data-show]")) {
  const input = document.getElementById(button.getAttribute("aria-controls"));
  const light = input.closest(".field").querySelector("[data-capslock]");
  const watch = (event) => {
    const on = event.getModifierState?.("CapsLock") ?? false;
    const text = on ? light.dataset.capslock : "";
    if (light.textContent !== text) light.textContent = text; // spoken once, when it changes
  };
  button.hidden = false;
  button.addEventListener("click", () => show(input, button, input.type === "password"));
  input.addEventListener("keydown", watch);
  input.addEventListener("keyup", watch);
  input.addEventListener("blur", () => { light.textContent = ""; });
  // Browsers keep what was typed in a text field; a password must not be sent as one.
  input.form.addEventListener("submit", () => show(input, button, false));
}

// Advice while a new password is typed. It blocks nothing, and nothing typed leaves the page; the server decides.

const PAUSE = 700; // milliseconds without a key, so that it is not spoken at every letter
const ROWS = "1234567890 qwertyuiop asdfghjkl zxcvbnm qwertzuiop yxcvbnm azertyuiop qsdfghjklm wxcvbn abcdefghijklmnopqrstuvwxyz";
const LINES = `${ROWS} ${[...ROWS].reverse().join("")}`;

const isRow = (text) => {
  for (let at = 0; at < text.length;) {
    let end = at;
    while (end < text.length && LINES.includes(text.slice(at, end + 1))) end += 1;
    if (end - at < 3 && end < text.length) return false;
    at = end;
  }
  return true;
};

const isPersonal = (text, form) => {
  const names = [...form.querySelectorAll("[name=uid], [name=name], [name=email]")];
  const words = names.flatMap((input) => input.value.toLowerCase().split(/[^\p{L}]+/u)).filter((word) => word.length > 2);
  const letters = text.replace(/[^\p{L}]/gu, "");
  const rest = words.sort((a, b) => b.length - a.length).reduce((left, word) => left.replaceAll(word, " "), letters);
  return letters !== "" && rest.trim() === "";
};

const advise = (input, said) => {
  const text = input.value.normalize("NFC");
  const plain = text.toLowerCase().replace(/[\s._-]/g, "");
  const missing = input.minLength - [...text].length;
  if (text === "") return "";
  if (missing > 0) return said.missing.replace("%(missing)s", missing);
  if (/^(.{1,8})\1+$/su.test(plain)) return said.repeats;
  if (isRow(plain)) return said.keyRow;
  return isPersonal(plain, input.form) ? said.tooPersonal : "";
};

for (const line of document.querySelectorAll("[data-advice]")) {
  const input = line.closest(".field").querySelector("input");
  let timer;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const text = advise(input, line.dataset);
      if (line.textContent !== text) line.textContent = text;
    }, PAUSE);
  });
}
