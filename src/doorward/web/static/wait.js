// Counts down after too many tries. Screen readers hear the start and the end, not every second.

for (const box of document.querySelectorAll("[data-wait]")) {
  const clock = box.querySelector("[data-clock]");
  const spoken = box.querySelector("[data-spoken]");
  const button = document.querySelector("[data-submit]");
  const end = performance.now() + Number(box.dataset.wait) * 1000;
  const left = () => Math.max(0, Math.ceil((end - performance.now()) / 1000));
  const write = (seconds) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  const line = clock.closest("p");
  box.querySelector("[data-until]")?.remove();
  spoken.textContent = line.textContent.trim();
  line.setAttribute("aria-hidden", "true");
  button.disabled = true;
  const timer = setInterval(() => {
    const seconds = left();
    clock.textContent = write(seconds);
    if (seconds > 0) return;
    clearInterval(timer);
    button.disabled = false;
    line.textContent = spoken.textContent = box.dataset.over;
  }, 250);
}
