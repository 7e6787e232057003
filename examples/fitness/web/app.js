// Which view is shown, and to whom. A view is a section of index.html and a module that fills it.

import { door, giveUp, settings } from "./api.js";
import { byId, gone } from "./dom.js";
import * as exercise from "./exercise.js";
import * as leaderboard from "./leaderboard.js";
import * as notes from "./notes.js";
import * as profile from "./profile.js";

const VIEWS = { notes, exercise, leaderboard, profile };
const sections = document.querySelectorAll("main > section");
let user; // undefined until that is known, then null for nobody
let turn = 0; // of views: what went wrong in an earlier one is nobody's business any more

byId("sign-in").addEventListener("click", () => leave());
byId("sign-up").addEventListener("click", () => leave({ prompt: "create" }));
byId("left-doorward").href = `${settings.issuer}/account/sessions`;
byId("sign-out").addEventListener("click", () => door.signOut());
addEventListener("hashchange", () => user && show(true));
// Also when another tab signs out, or the session is ended at Doorward.
door.onChange(changed);

try {
  changed(await door.user());
} catch (error) {
  changed(null);
  trouble(`You are not signed in. ${error.message}`);
}

async function leave(how) {
  try {
    await door.signIn(how);
  } catch (error) {
    trouble(error.message);
  }
}

function changed(now) {
  const another = user === undefined || now?.id !== user?.id;
  byId("left").hidden = !user || !!now;
  user = now;
  for (const id of ["tabs", "who"]) byId(id).hidden = !user;
  byId("name").textContent = user?.name ?? user?.uid ?? "";
  if (!another) return; // nobody is interrupted because a tab elsewhere was busy
  giveUp();
  for (const view of Object.values(VIEWS)) view.clear(); // what was theirs is not for the next
  if (user) show(false);
  else reveal("welcome");
}

/** Fill and show the view that the address names. `moved`: somebody asked for it, so the focus goes there. */
async function show(moved) {
  const name = location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "notes";
  for (const link of byId("tabs").querySelectorAll("a")) {
    if (link.hash === `#${name}`) link.ariaCurrent = "page";
    else link.removeAttribute("aria-current");
  }
  reveal(name);
  const title = byId(`${name}-title`);
  document.title = `${title.textContent} – Fitness`;
  if (moved) {
    scrollTo(0, 0);
    title.focus();
  }
  const mine = (turn += 1);
  try {
    await VIEWS[name].show();
    if (mine === turn) trouble("");
  } catch (error) {
    if (mine === turn && !gone(error)) trouble(error.message);
  }
}

function reveal(name) {
  for (const section of sections) section.hidden = section.id !== name;
  if (name === "welcome") document.title = "Fitness";
}

function trouble(text) {
  byId("trouble").textContent = text;
  byId("trouble").hidden = !text;
}
