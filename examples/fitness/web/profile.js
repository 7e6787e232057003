// What Doorward keeps of a user for this app: two custom fields, written through our API, and their coins.

import { ask, door, settings } from "./api.js";
import { byId, onSubmit, say, wrong } from "./dom.js";
import { chips } from "./exercise.js";

const [form, steps, sleep, plan] = ["goals", "steps", "sleep", "plan"].map(byId);
plan.append(...chips("plan", "checkbox"));
byId("account").href = `${settings.issuer}/account`;
byId("everywhere").addEventListener("click", () => door.signOut({ everywhere: true }));

let typing = false; // what is not yet saved is not overwritten

export async function show() {
  fill(await ask("GET", "/me"));
}

export function clear() {
  typing = false;
  form.reset();
  for (const what of ["name", "uid", "coins"]) byId(`profile-${what}`).textContent = "";
}

function fill(me) {
  byId("profile-name").textContent = me.name ?? "";
  byId("profile-uid").textContent = me.uid ?? "";
  byId("profile-coins").textContent = (me.coins ?? 0).toLocaleString();
  if (typing) return;
  steps.value = me.tracking?.steps ?? "";
  sleep.value = me.tracking?.sleep_h ?? "";
  const chosen = Array.isArray(me.exercise) ? me.exercise : [];
  for (const box of plan.querySelectorAll("input")) box.checked = chosen.includes(box.value);
}

form.addEventListener("input", () => (typing = true));

onSubmit(form, async () => {
  const tracking = {};
  for (const [name, field, text] of [["steps", steps, "Steps: a number up to 100,000"], ["sleep_h", sleep, "Sleep: hours from 0 to 24"]]) {
    if (field.validity.badInput || field.validity.rangeOverflow || field.validity.rangeUnderflow) throw wrong(field, text);
    if (field.value !== "") tracking[name] = field.valueAsNumber;
  }
  const exercise = [...plan.querySelectorAll("input:checked")].map((box) => box.value);
  typing = false; // what is typed from now on is not among what is saved
  try {
    fill(await ask("PATCH", "/me", { tracking, exercise }));
  } catch (error) {
    typing = true;
    throw error;
  }
  say("Profile saved");
});
