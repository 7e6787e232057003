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
