// Exercises: what was done is the user's word, what it earns is the server's.

import { ask } from "./api.js";
import { byId, make, onSubmit, say, when, wrong } from "./dom.js";

export const KINDS = { run: "Run", bike: "Bike", swim: "Swim", walk: "Walk", squat: "Squats", yoga: "Yoga" };
const [form, minutes, list] = ["log", "minutes", "done"].map(byId);
byId("kinds").append(...chips("kind", "radio"));

/** One choice each, as radio buttons or boxes to tick. */
export function chips(name, type) {
  return Object.entries(KINDS).map(([value, label], number) => {
    const input = make("input", { type, name, value, defaultChecked: type === "radio" && number === 0 });
    return make("label", {}, input, make("span", {}, label));
  });
}

export async function show() {
  const { data, today, most } = await ask("GET", "/exercises");
  list.replaceChildren(...data.map(row));
  byId("done-none").hidden = data.length > 0;
  byId("today").textContent = today;
  byId("most").textContent = most;
  Object.assign(byId("today-bar"), { max: most, value: today });
}

export function clear() {
  list.replaceChildren();
  form.reset();
}

onSubmit(form, async () => {
  const count = Number(minutes.value);
  if (!Number.isInteger(count) || count < 1 || count > 300) throw wrong(minutes, "Enter whole minutes, from 1 to 300");
  const done = await ask("POST", "/exercises", { kind: new FormData(form).get("kind"), minutes: count });
  await show();
  if (!done.coins) say(`Logged. You have today's ${done.most_coins_a_day} coins already`);
  else say(done.paid ? `Logged. Coins earned: ${done.coins}` : `Logged. Coins on their way: ${done.coins}`);
});

function row({ kind, minutes: count, coins, at }) {
  const what = make("span", {}, `${KINDS[kind] ?? kind}, ${count} min`);
  return make("li", {}, what, make("span", { className: "coins" }, `+${coins}`), make("span", { className: "hint" }, when(at)));
}
