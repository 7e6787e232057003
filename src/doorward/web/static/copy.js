// Copies, saves and prints what is shown once. The buttons are hidden where scripts do not run.

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  const label = button.textContent;
  button.hidden = false;
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).innerText);
    button.textContent = button.dataset.copied;
    setTimeout(() => (button.textContent = label), 2000);
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
