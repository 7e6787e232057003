// Who has the most coins.

import { ask } from "./api.js";
import { byId, make } from "./dom.js";

export async function show() {
  const { data, most } = await ask("GET", "/leaderboard");
  byId("board-most").textContent = most;
  byId("board").replaceChildren(...data.map(row));
}

export function clear() {
  byId("board").replaceChildren();
}

function row({ rank, name, uid, coins, own }) {
  const place = make("span", { className: `place place-${rank}` }, String(rank));
  const who = make("th", { scope: "row" }, make("bdi", {}, name ?? uid), ...(own ? [" (you)"] : []), make("small", {}, make("bdi", {}, uid)));
  return make("tr", { className: own ? "own" : "" },
    make("td", { className: "rank" }, place), who, make("td", { className: "number" }, coins.toLocaleString()));
}
