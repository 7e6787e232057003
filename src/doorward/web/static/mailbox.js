// Shows messages as they arrive and copies codes.

const list = document.querySelector("[data-mails]");
const status = document.querySelector("[data-news]");
const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });

const prepare = (root) => {
  for (const time of root.querySelectorAll("time")) time.textContent = format.format(new Date(time.dateTime));
  for (const button of root.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = status.textContent = status.dataset.copied;
    });
  }
  return root;
};

const look = async () => {
  if (document.hidden) return;
  const { messages } = await (await fetch("/dev/mail.json")).json();
  if (!messages.some((one) => !document.getElementById(`mail-${one.id}`))) return;
  const page = new DOMParser().parseFromString(await (await fetch("/dev/mail")).text(), "text/html");
  const news = [...page.querySelectorAll("[data-mails] > li")].filter((one) => !document.getElementById(one.id));
  if (!news.length) return;
  list.prepend(...news.map(prepare));
  list.hidden = false;
  document.querySelector("[data-empty]").hidden = true;
  status.textContent = `${status.dataset.news} ${news[0].querySelector("bdi").textContent}`;
};

prepare(list);
setInterval(() => look().catch(() => {}), 2000); // the server may be about to start again
