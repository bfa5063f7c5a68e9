// Enhances the search page: results without a reload, photos, suggestions. Without it the page still works
// as a plain form. Nothing here writes HTML from text: server-rendered parts are parsed inert by DOMParser
// and adopted as nodes, and everything else is set through textContent.

const $ = (id) => document.getElementById(id);
const text = JSON.parse(document.body.dataset.text);
const form = $("search");
const input = $("q");
const main = $("results");
const MAX_FILE = 10 * 1024 * 1024; // bytes that the server takes
const PHOTO_EDGE = 1024; // pixels: encoders look at less, and a phone's uplink is slow
const SKELETON_AFTER = 150; // ms: a quicker answer should not flicker
const desktop = matchMedia("(min-width: 60.01rem)");

const say = (message) => { $("live").textContent = message; };

// ---- loading results -------------------------------------------------------------------------------

let photo = null; // {id, kind, blob}: kind is image, video or audio
let running = null;

async function load(url, { push = true, focus = false, top = false } = {}) {
  running?.abort();
  const mine = (running = new AbortController());
  const facetsOpen = $("facets")?.open;
  const active = document.activeElement?.closest?.("#results") ? document.activeElement : null;
  const waiting = setTimeout(showSkeleton, SKELETON_AFTER);
  main.setAttribute("aria-busy", "true");
  closeSuggestions();
  let next;
  try {
    const answer = await fetch(url, photo ? postOf(url, mine.signal) : { headers: HEADERS, signal: mine.signal });
    next = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!next.getElementById("results")) throw new TypeError("not the page");
  } catch (error) {
    if (error.name === "AbortError") return;
    next = null;
  } finally {
    clearTimeout(waiting);
  }
  if (mine !== running) return;
  if (push) history.pushState({ photo: photo?.id }, "", url);
  if (next) adopt(next, facetsOpen); else showOffline(url);
  main.removeAttribute("aria-busy");
  if (top) scrollTo({ top: 0 });
  if (focus) $("found-title")?.focus({ preventScroll: true });
  else if (active) twinOf(active)?.focus({ preventScroll: true });
  if (next) sayParts($("status"));
}

function twinOf(old) {
  // By name and value first: ticking a value may move it to another place in its list.
  const named = old.name && [...form.elements].filter((one) => one.name === old.name);
  if (named?.length > 1) return named.find((one) => one.value === old.value);
  return named?.[0] ?? (old.id ? $(old.id) : null);
}

function sayParts(element) {
  if (element) say([...element.children].map((part) => part.textContent.trim()).filter(Boolean).join(", "));
}

const HEADERS = { "X-Hybrid-Page": "1" };

function postOf(url, signal) {
  // With a photo the same fields go as a form: an address cannot hold a picture.
  const body = new FormData();
  for (const [name, value] of new URL(url, location).searchParams) body.append(name, value);
  body.set(photo.kind, photo.blob, photo.kind === "image" ? "photo.jpg" : "file");
  return { method: "POST", body, headers: HEADERS, signal };
}

function adopt(next, facetsOpen) {
  main.replaceChildren(...document.adoptNode(next.getElementById("results")).childNodes);
  document.title = next.title;
  const language = next.getElementById("language");
  if (language) $("language").setAttribute("href", language.getAttribute("href"));
  if ($("facets")) $("facets").open = desktop.matches || Boolean(facetsOpen);
}

function showSkeleton() {
  say(text.loading);
  const grid = $("hits");
  if (!grid) return;
  const bone = $("skeleton").content;
  grid.replaceChildren(...Array.from({ length: 8 }, () => document.importNode(bone, true)));
}

function showOffline(url) {
  main.replaceChildren(document.importNode($("offline").content, true));
  main.querySelector("[data-retry]").setAttribute("href", url);
  sayParts(main.firstElementChild);
}

function urlOf(page) {
  const pairs = [...new FormData(form)].filter(([, value]) => typeof value === "string" && value.trim() !== "");
  const dropped = ["image", "kept_image", "drop_image", "page"];
  if (pairs.some(([name]) => name === "q")) dropped.push("like"); // words in place of the product
  const remaining = pairs.filter(([name]) => !dropped.includes(name));
  if (page) remaining.push(["page", page]);
  const query = new URLSearchParams(remaining).toString();
  return query ? `/?${query}` : "/";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const byHand = event.submitter === null || event.submitter?.classList.contains("go");
  const page = event.submitter?.name === "page" ? event.submitter.value : "";
  load(urlOf(page), { focus: !byHand, top: byHand || Boolean(page) });
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-auto]")) load(urlOf());
});

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-nav]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    const params = new URL(link.href).searchParams;
    input.value = params.get("q") ?? "";
    if ($("index") && params.get("index")) $("index").value = params.get("index");
    if (params.get("like")) await usePhoto(null); // in place of the photo
    load(link.getAttribute("href"), { focus: true, top: link.hasAttribute("data-top") });
  }
  if (event.target.closest("[data-close-facets]")) {
    $("facets").open = false;
    main.scrollIntoView();
    $("found-title")?.focus({ preventScroll: true });
  }
});

addEventListener("popstate", async (event) => {
  const params = new URL(location).searchParams;
  input.value = params.get("q") ?? "";
  if ($("index") && params.get("index")) $("index").value = params.get("index");
  await usePhoto(event.state?.photo ?? null);
  load(location.pathname + location.search, { push: false });
});

// A picture that is missing or broken leaves the drawn placeholder visible. Errors do not bubble: capture.
document.addEventListener("error", (event) => {
  if (event.target.matches?.("img[data-picture]")) event.target.hidden = true;
}, true);
for (const image of document.querySelectorAll("img[data-picture]")) {
  if (image.complete && image.naturalWidth === 0 && image.loading !== "lazy") image.hidden = true;
}

if ($("facets")) $("facets").open = desktop.matches;
desktop.addEventListener("change", () => { if ($("facets")) $("facets").open = desktop.matches; });

// ---- the photo -------------------------------------------------------------------------------------

async function shrink(file) {
  const picture = await createImageBitmap(file, { imageOrientation: "from-image" });
  const factor = Math.min(1, PHOTO_EDGE / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(picture.width * factor));
  canvas.height = Math.max(1, Math.round(picture.height * factor));
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff"; // what was transparent would turn black in a JPEG
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  const url = canvas.toDataURL("image/jpeg", 0.86);
  if (!url.startsWith("data:image/jpeg")) throw new TypeError("no JPEG");
  return url;
}

// The type of a picture that the server reads and many browsers do not: HEIC, as iPhones write it, or TIFF. Told by the
// first bytes, since few systems know a type for the names of these files.
async function typeForServer(file) {
  const head = String.fromCharCode(...new Uint8Array(await file.slice(0, 12).arrayBuffer()));
  if (/^....ftyp(he|mif|msf)/s.test(head)) return "image/heic";
  return /^(II\*\0|MM\0\*)/.test(head) ? "image/tiff" : "";
}

function refuse(message) {
  $("field-error").textContent = message;
  $("field-error").hidden = false;
}

async function addFile(file) {
  $("field-error").hidden = true;
  const kind = /^(video|audio)\//.exec(file.type)?.[1] ?? "image";
  if (kind !== "image" && file.size > MAX_FILE) return refuse(text.file_too_large);
  let url;
  try {
    url = kind === "image" ? await shrink(file) : await read(file);
  } catch {
    try {
      const type = await typeForServer(file);
      if (!type) return refuse(text.photo_unreadable);
      if (file.size > MAX_FILE) return refuse(text.file_too_large);
      url = await read(new Blob([file], { type }));
    } catch {
      return refuse(text.photo_unreadable);
    }
  }
  const id = `photo-${Date.now()}`;
  keep(id, url);
  setPhoto(id, url);
  say(kind === "image" ? text.photo_added : text.file_added);
  load(urlOf(), { top: true });
}

function read(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

// Kept for this tab, so that going back, or reloading, shows the same search again.
const memory = new Map();
function keep(id, url) {
  memory.set(id, url);
  try {
    const old = Object.keys(sessionStorage).filter((key) => key.startsWith("photo-")).sort();
    for (const key of old.slice(0, Math.max(0, old.length - 3))) sessionStorage.removeItem(key);
    sessionStorage.setItem(id, url);
  } catch { /* full or forbidden: going back still works until a reload */ }
}

function blobOf(url) {
  const bytes = Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (character) => character.charCodeAt(0));
  return new Blob([bytes], { type: url.slice(5, url.indexOf(";")) });
}

function setPhoto(id, url) {
  const kind = /^data:(video|audio)\//.exec(url ?? "")?.[1] ?? "image";
  photo = url ? { id, kind, blob: blobOf(url) } : null;
  $("thumb").hidden = !url;
  const [picture, sign] = [$("thumb").querySelector("img"), $("thumb").querySelector(".kind")];
  const showSign = (words) => {
    picture.hidden = true;
    sign.hidden = false;
    sign.textContent = words;
  };
  picture.hidden = false;
  sign.hidden = true;
  if (!url) return;
  if (kind !== "image") return showSign(text[`yours_${kind}`]);
  picture.onerror = () => showSign(text.photo_yours); // a picture that only the server can read
  picture.src = url;
}

async function usePhoto(id) {
  let url = id && memory.get(id);
  try { url ||= id && sessionStorage.getItem(id); } catch { /* forbidden */ }
  setPhoto(id, url || null);
}

for (const id of ["photo-file", "photo-camera"]) {
  const takeFile = () => {
    const [file] = $(id).files;
    $(id).value = ""; // choosing the same file again must count as a change
    if (file) addFile(file);
  };
  $(id).addEventListener("change", takeFile);
  takeFile(); // it may have been chosen before this script was there
}
$("thumb").querySelector("button").addEventListener("click", () => {
  setPhoto(null, null);
  input.focus();
  say(text.photo_removed);
  load(urlOf());
});

const pictureIn = (transfer) => [...(transfer?.files ?? [])].find((file) => (
  /^(image|video|audio)\//.test(file.type) || /\.hei[cf]$/i.test(file.name)
));
document.addEventListener("paste", (event) => {
  const file = pictureIn(event.clipboardData);
  if (file) { event.preventDefault(); addFile(file); }
});
const dragsFile = (event) => event.dataTransfer?.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (dragsFile(event)) { event.preventDefault(); $("drop").hidden = false; }
});
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").hidden = true; });
document.addEventListener("drop", (event) => {
  $("drop").hidden = true;
  if (!dragsFile(event)) return;
  event.preventDefault();
  const [first] = event.dataTransfer.files;
  const file = pictureIn(event.dataTransfer) ?? first;
  if (file) addFile(file);
});

// ---- suggestions: the combobox pattern of the ARIA Authoring Practices (list, manual selection) -----

const list = $("suggestions");
const DEBOUNCE = 120; // ms between keys
let typing = 0;
let asking = null;
let at = -1;

input.setAttribute("role", "combobox");
input.setAttribute("aria-autocomplete", "list");
input.setAttribute("aria-controls", "suggestions");
input.setAttribute("aria-expanded", "false");
list.setAttribute("role", "listbox");

function closeSuggestions() {
  clearTimeout(typing);
  asking?.abort();
  list.hidden = true;
  list.replaceChildren();
  at = -1;
  input.setAttribute("aria-expanded", "false");
  input.removeAttribute("aria-activedescendant");
}

async function suggest() {
  const q = input.value.trim();
  if (!q) return closeSuggestions();
  asking?.abort();
  const mine = (asking = new AbortController());
  const query = new URLSearchParams({ q: q.slice(0, 200), size: "8" });
  const index = new FormData(form).get("index");
  if (index) query.set("index", index);
  try {
    const answer = await fetch(`/api/suggest?${query}`, { signal: mine.signal });
    const suggestions = answer.ok ? (await answer.json()).suggestions : [];
    if (mine === asking && document.activeElement === input) showSuggestions(suggestions);
  } catch { /* suggestions are a courtesy: typing goes on without them */ }
}

function showSuggestions(suggestions) {
  if (!suggestions.length) return closeSuggestions();
  at = -1;
  input.removeAttribute("aria-activedescendant");
  list.replaceChildren(...suggestions.map((item, place) => {
    const option = document.createElement("li");
    option.id = `suggestion-${place}`;
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", "false");
    option.dataset.text = item.text;
    for (const [name, words] of [["what", item.text], ["kind", text[`kind_${item.kind}`] ?? item.kind]]) {
      const part = document.createElement("span");
      part.className = name;
      part.textContent = words;
      option.append(part);
    }
    return option;
  }));
  list.hidden = false;
  input.setAttribute("aria-expanded", "true");
  say(text.suggestions_n.replace("{n}", suggestions.length));
}

function mark(place) {
  const options = list.children;
  options[at]?.setAttribute("aria-selected", "false");
  at = (place + options.length + 1) % (options.length + 1); // one more: back in the text itself
  if (at === options.length) at = -1;
  if (at < 0) return input.removeAttribute("aria-activedescendant");
  options[at].setAttribute("aria-selected", "true");
  input.setAttribute("aria-activedescendant", options[at].id);
}

function choose(option) {
  input.value = option.dataset.text;
  closeSuggestions();
  load(urlOf(), { top: true });
}

input.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(suggest, DEBOUNCE);
});
input.addEventListener("keydown", (event) => {
  if (event.isComposing) return; // Enter and arrows belong to the input method while it is open
  const open = !list.hidden;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    if (!open) suggest();
    else if (!event.altKey) mark(event.key === "ArrowDown" ? at + 1 : at < 0 ? list.children.length - 1 : at - 1);
    else closeSuggestions();
  } else if (event.key === "Enter" && open && at >= 0) {
    event.preventDefault();
    choose(list.children[at]);
  } else if (event.key === "Escape") {
    if (open) { event.preventDefault(); closeSuggestions(); } else input.value = "";
  }
});
input.addEventListener("blur", closeSuggestions);
list.addEventListener("pointerdown", (event) => event.preventDefault()); // keep the focus in the input
list.addEventListener("click", (event) => {
  const option = event.target.closest("[role=option]");
  if (option) choose(option);
});

// ---- start ---------------------------------------------------------------------------------------

if (history.state?.photo) {
  usePhoto(history.state.photo).then(() => { if (photo) load(location.pathname + location.search, { push: false }); });
}
