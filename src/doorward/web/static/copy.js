// Copies, saves and prints what is shown once. The buttons are hidden where scripts do not run.

const say = (button, text) => {
  const before = button.textContent;
  button.textContent = text;
  setTimeout(() => (button.textContent = before), 2000);
};

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).innerText);
    say(button, button.dataset.copied);
  });
}

for (const link of document.querySelectorAll("[data-save]")) {
  const text = `${link.dataset.heading}\n\n${document.getElementById(link.dataset.save).innerText}\n`;
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  link.hidden = false;
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}
