// Try it: weighs the candidates anew while a weight is moved, and rates hits by a key.
import { send } from "./admin-send.js";

const sides = document.getElementById("try-sides");
const form = document.getElementById("try-form");
const words = sides?.dataset ?? {};
const pool = words.pool ? JSON.parse(words.pool) : null;
const visible = Number(words.visible);
const failure = document.getElementById("try-error");
const live = document.getElementById("try-live");
const text = (pattern, values) => pattern.replace(/\{(\w+)\}/g, (_, key) => values[key]);

// -- weighing: the arithmetic of hybrid/search/fusion.py, in the same order of additions ----------------------------

function normalised(weights) {
  const names = Object.keys(weights);
  let total = 0;
  for (const name of names) total += weights[name];
  return Object.fromEntries(names.map((name) => [name, total > 0 ? weights[name] / total : 1 / names.length]));
}

/** The weights by the confidence of each signal. Priors get nothing of what the others lose. */
function lowered(requested, confidence) {
  const names = Object.keys(requested);
  const own = (requested.prior ?? 0) * (confidence.prior ?? 0);
  const pick = (value) => Object.fromEntries(names.filter((name) => name !== "prior").map((name) => [name, value(name)]));
  let spoken = pick((name) => requested[name] * confidence[name]);
  if (!Object.values(spoken).some((weight) => weight > 0)) spoken = pick((name) => requested[name]);
  if (!Object.values(spoken).some((weight) => weight > 0)) return requested;
  const active = normalised(spoken);
  return Object.fromEntries(names.map((name) => [name, name === "prior" ? own : active[name] * (1 - own)]));
}

/** [{id, score, parts: {signal: {weight, scaled}}}] of all candidates, best first, ties by id. */
export function weighed(candidates, weights) {
  const names = Object.keys(candidates.scaled).filter((name) => weights[name] > 0);
  const requested = normalised(Object.fromEntries(names.map((name) => [name, weights[name]])));
  const active = lowered(requested, candidates.confidence);
  const ranked = candidates.ids.map((id, at) => {
    let presentWeight = 0;
    for (const name of names) if (candidates.scaled[name][at] !== null) presentWeight += active[name];
    let score = 0;
    const parts = {};
    for (const name of names) {
      const scaled = candidates.scaled[name][at];
      if (scaled === null || presentWeight <= 0) continue;
      const weight = active[name] / presentWeight;
      score += weight * scaled;
      parts[name] = { weight, scaled };
    }
    return { id, score, parts, counted: active };
  });
  return ranked.sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

// -- what is on the page --------------------------------------------------------------------------------------------

const section = (name) => sides.querySelector(`[data-side="${name}"]`);
const orders = {};
const models = new Map(); // product -> a hit to copy
const ratings = new Map(); // product -> rating, "" for none
for (const one of sides?.querySelectorAll("[data-side]") ?? []) {
  orders[one.dataset.side] = JSON.parse(one.dataset.order);
  learn(one);
}

function learn(root) {
  for (const hit of root.querySelectorAll("li[data-id]")) {
    if (!models.has(hit.dataset.id)) models.set(hit.dataset.id, hit.cloneNode(true));
    if (!ratings.has(hit.dataset.id)) ratings.set(hit.dataset.id, hit.querySelector(".try-rating").dataset.rating);
  }
}

function weightsOf(name) {
  const fields = section(name).querySelectorAll("input[data-signal]");
  return Object.fromEntries([...fields].map((field) => [field.dataset.signal, Math.max(0, Number(field.value) || 0)]));
}

function copy(id) {
  const known = models.get(id);
  if (known) return known.cloneNode(true);
  const hit = models.values().next().value.cloneNode(true); // its words come in a moment
  hit.dataset.id = id;
  hit.querySelector("h3").textContent = id;
  hit.querySelector("article").setAttribute("aria-label", id);
  hit.querySelector(".try-picture").replaceChildren();
  return hit;
}

/** Order a side anew by the weights in its fields. */
function weigh(name) {
  const weights = weightsOf(name);
  if (!pool?.ids.length || !models.size || !Object.keys(pool.scaled).some((signal) => weights[signal] > 0)) return;
  const one = section(name);
  const list = one.querySelector(".try-hits");
  if (!list) return;
  const ranked = weighed(pool, weights);
  orders[name] = ranked.map((hit) => hit.id);
  const focused = document.activeElement.closest?.("li[data-id]");
  const focus = focused && list.contains(focused) ? focused.dataset.id : null;
  list.replaceChildren(...ranked.slice(0, visible).map((hit) => drawn(hit)));
  one.querySelector("[data-facts]")?.setAttribute("hidden", "");
  one.querySelector("[data-by-hand]")?.removeAttribute("hidden");
  one.querySelector("select").value = "own";
  number(list, name);
  if (focus) [...list.children].find((hit) => hit.dataset.id === focus)?.querySelector("article").focus();
  say(name);
  fetchMissing();
}

function drawn(hit) {
  const item = copy(hit.id);
  for (const row of item.querySelectorAll("[data-signal]")) {
    const part = hit.parts[row.dataset.signal];
    const product = part ? part.weight * part.scaled : 0;
    row.querySelector(".fill").setAttribute("width", (100 * Math.min(1, product)).toFixed(2));
    row.querySelector(".sum").textContent = part
      ? `${part.weight.toFixed(2)} × ${part.scaled.toFixed(3)} = ${product.toFixed(3)}` : row.dataset.signal in hit.counted ? words.missing : words.uncounted;
  }
  item.querySelector(".score").textContent = hit.score.toFixed(3);
  showRating(item);
  return item;
}

function number(list, name) {
  [...list.children].forEach((hit, at) => {
    const article = hit.querySelector("article");
    article.id = `${name}-${at + 1}`;
    article.tabIndex = at ? -1 : 0;
    hit.querySelector(".rank").textContent = at + 1;
  });
  moves();
}

function moves() {
  const before = new Map(orders.left.map((id, rank) => [id, rank]));
  const visibleRight = new Set(orders.right.slice(0, visible));
  for (const [name, kindOf] of [
    ["left", (id) => (orders.right.length && !visibleRight.has(id) ? ["gone", 0] : ["", 0])],
    ["right", (id, rank) => {
      if (!orders.left.length) return ["", 0];
      if (!before.has(id)) return ["new", 0];
      const by = before.get(id) - rank;
      return [by > 0 ? "up" : by < 0 ? "down" : "same", Math.abs(by)];
    }],
  ]) {
    section(name).querySelectorAll(".try-hits > li").forEach((hit, rank) => {
      const [kind, by] = kindOf(hit.dataset.id, rank);
      const place = hit.querySelector(".move");
      place.className = `move ${kind}`;
      const sign = { up: `▲ ${by}`, down: `▼ ${by}`, same: "=" }[kind];
      const said = kind ? text(words[kind], { n: by }) : "";
      place.replaceChildren(...(sign ? [span(sign, null), span(said, "sr-only")] : [said]));
    });
  }
}

function span(content, className) {
  const element = document.createElement("span");
  element.textContent = content;
  if (className) element.className = className; else element.setAttribute("aria-hidden", "true");
  return element;
}

let saying;
function say(name) {
  clearTimeout(saying);
  saying = setTimeout(() => {
    const first = section(name).querySelector(".try-hits h3");
    live.textContent = first ? text(words.reordered, { title: first.textContent }) : "";
  }, 600);
}

let fetching;
function fetchMissing() {
  clearTimeout(fetching);
  fetching = setTimeout(async () => {
    const missing = [...new Set([...sides.querySelectorAll(".try-hits > li")].map((hit) => hit.dataset.id))]
      .filter((id) => !models.has(id)).slice(0, 50);
    if (!missing.length) return;
    const query = ratedQuery();
    for (const id of missing) query.append("id", id);
    const answer = await fetch(`/admin/try/cards?${query}`);
    if (!answer.ok || answer.redirected) return; // their ids stay
    const fetchedCards = new DOMParser().parseFromString(`<ol>${await answer.text()}</ol>`, "text/html");
    learn(fetchedCards);
    for (const hit of sides.querySelectorAll(".try-hits > li")) if (missing.includes(hit.dataset.id)) complete(hit);
  }, 120);
}

function complete(hit) {
  const known = models.get(hit.dataset.id);
  if (!known) return;
  for (const what of ["h3", ".try-picture"]) hit.querySelector(what).replaceWith(known.querySelector(what).cloneNode(true));
  hit.querySelector("article").setAttribute("aria-label", known.querySelector("article").getAttribute("aria-label"));
  showRating(hit);
}

function takeWeight(event) {
  const field = event.target;
  const name = field.closest?.("[data-side]")?.dataset.side;
  if (!name) return;
  if (field.dataset.weight) {
    const own = document.getElementById(field.dataset.weight);
    own.value = field.value;
    for (const other of field.closest(".try-own").querySelectorAll("input[data-signal]")) other.value ||= "0";
  } else if (field.dataset.signal) {
    const slider = section(name).querySelector(`[data-weight="${CSS.escape(field.id)}"]`);
    slider.value = field.value;
  } else return;
  weigh(name);
}

// -- rating ---------------------------------------------------------------------------------------------------------

const rateForm = (name) => document.querySelector(`#try-rate [name="${name}"]`).value;
const listName = () => form.elements.list.value.trim();
/** The list, the words and the photo that the ratings on the page belong to, as parameters. */
function ratedQuery() {
  const query = new URLSearchParams({ index: rateForm("index"), list: listName(), q: rateForm("query") });
  if (rateForm("photo")) query.set("photo", rateForm("photo"));
  return query;
}

function showRating(item) {
  const rating = ratings.get(item.dataset.id) ?? "";
  for (const button of item.querySelectorAll("[data-rate]")) {
    const pressed = rating !== "" && Number(rating) === Number(button.dataset.rate);
    button.setAttribute("aria-pressed", pressed);
  }
  item.querySelector(".try-rating").dataset.rating = rating;
  item.querySelector(".rated").textContent = rating === "" ? "" : text(words.rated, { n: Number(rating) });
}

function show(id, rating) {
  ratings.set(id, rating);
  for (const item of sides.querySelectorAll("li[data-id]")) if (item.dataset.id === id) showRating(item);
}

/** A photo with a rating is stored, so the address of the page can name it. */
function showAddress(list) {
  const address = new URL(words.address, location);
  address.searchParams.set("list", list);
  history.replaceState(null, "", address);
}

const turns = new Map(); // product -> the saving before this one, so that the last key wins
const saved = new Map(); // product -> the rating in the cluster
const ratedMeanwhile = new Set(); // products rated since the judgment list was changed

function rate(id, rating) {
  const before = ratings.get(id) ?? "";
  if (!saved.has(id)) saved.set(id, before);
  ratedMeanwhile.add(id);
  show(id, rating === null ? "" : String(rating));
  const body = { index: rateForm("index"), list: listName(), query: rateForm("query"), product: id, rating };
  if (rateForm("photo")) body.image = rateForm("kept_image");
  const mine = (turns.get(id) ?? Promise.resolve()).then(async () => {
    try {
      await send("/admin/api/judgments", body);
      saved.set(id, rating === null ? "" : String(rating));
      failure.hidden = true;
      if (body.image && rating !== null) showAddress(body.list);
    } catch (error) {
      failure.textContent = text(words.failed, { why: error.message });
      failure.hidden = false;
      if (turns.get(id) === mine) show(id, saved.get(id));
    }
  });
  turns.set(id, mine);
}

sides?.addEventListener("click", (event) => {
  const button = event.target.closest("[data-rate]");
  if (!button) return;
  event.preventDefault();
  const n = Number(button.dataset.rate);
  rate(button.closest("li").dataset.id, button.getAttribute("aria-pressed") === "true" ? null : n);
});

function press(event) {
  const item = event.target.closest?.("li[data-id]");
  if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
  const list = item.parentElement;
  const at = [...list.children].indexOf(item);
  const other = section(item.closest("[data-side]").dataset.side === "left" ? "right" : "left").querySelector(".try-hits");
  const goal = {
    j: list.children[at + 1], ArrowDown: list.children[at + 1], k: list.children[at - 1], ArrowUp: list.children[at - 1],
    ArrowLeft: other?.children[Math.min(at, other.children.length - 1)],
    ArrowRight: other?.children[Math.min(at, other.children.length - 1)],
  };
  if (event.key in goal) {
    event.preventDefault();
    const article = goal[event.key]?.querySelector("article");
    if (!article) return;
    for (const one of article.closest(".try-hits").querySelectorAll("article")) one.tabIndex = one === article ? 0 : -1;
    article.focus();
  } else if (/^[0-3x]$/.test(event.key) && item.querySelector("[data-rate]")) {
    event.preventDefault();
    rate(item.dataset.id, event.key === "x" ? null : Number(event.key));
  }
}

// Another list has other ratings. What is rated while they are fetched stays, and of two lists the later one counts.
let listChanges = 0;
async function changeList(event) {
  if (event.target !== form?.elements.list || !(rateForm("query") || rateForm("photo")) || !listName()) return;
  const change = ++listChanges;
  ratedMeanwhile.clear();
  saved.clear();
  const answer = await fetch(`/admin/api/judgments?${ratedQuery()}`);
  if (!answer.ok || answer.redirected) return;
  const storedRatings = (await answer.json()).ratings;
  if (change !== listChanges) return;
  const others = [...ratings.keys()].filter((id) => !ratedMeanwhile.has(id));
  for (const id of others) show(id, id in storedRatings ? String(storedRatings[id]) : "");
}

// One list of what is listened to, so that what came before this script is answered as what comes after it.
const handlers = { keydown: press, input: takeWeight, change: changeList };
for (const [type, handler] of Object.entries(handlers)) document.addEventListener(type, handler);
for (const event of window.earlyEvents ?? []) handlers[event.type](event);
window.earlyEvents = null;
