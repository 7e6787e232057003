// Who has the most coins.

import { ask } from "./api.js";
import { byId, make } from "./dom.js";

export async function show() {
  const { data, most, own_coins: mine } = await ask("GET", "/leaderboard");
  byId("board-most").textContent = most;
  byId("board").replaceChildren(...data.map(row));
  const among = data.some(({ own }) => own) || !data.length;
  byId("board-own").textContent = among ? "" : `You have ${mine ?? 0}. The first ${data.length} begin at ${data.at(-1).coins}.`;
}

export function clear() {
  byId("board").replaceChildren();
  byId("board-own").textContent = "";
}

function row({ rank, name, uid, coins, own }) {
  const place = make("span", { className: `place place-${rank}` }, String(rank));
  const who = make("th", { scope: "row" }, make("bdi", {}, name ?? uid), ...(own ? [" (you)"] : []), make("small", {}, make("bdi", {}, uid)));
  return make("tr", { className: own ? "own" : "" },
    make("td", { className: "rank" }, place), who, make("td", { className: "number" }, coins.toLocaleString()));
}
