// The part of a page that changes by itself: by events where the server has a thread to spare, else by asking.
import { loadAgain } from "./admin-again.js";

const state = document.getElementById("state");
const phase = document.getElementById("phase");
const lost = document.getElementById("lost");
const ASK_MS = 3000;
const LOST_MS = 5000;  // a stream that ends is opened again within a second or two: no loss
let source = null;
let missing = null;
const live = () => Boolean(state.querySelector("[data-live]")?.dataset.live);
const phaseText = () => state.querySelector("[data-phase]")?.textContent.replace(/\s+/g, " ").trim();
let said = state && phaseText();

function show(html) {
  markConnected();
  // What somebody is about to press, or has opened, is not replaced.
  const focused = state.contains(document.activeElement) && document.activeElement !== document.body;
  const ticked = state.querySelector("input[type=checkbox]:checked");
  const open = state.querySelector("details[open]");
  const next = document.createElement("div");
  next.innerHTML = html;
  const now = next.querySelector("[data-phase]")?.textContent.replace(/\s+/g, " ").trim();
  const changed = now !== said;
  if (!changed && (focused || ticked || open)) return;
  state.replaceChildren(...next.childNodes);
  if (focused) state.querySelector("a, button")?.focus();
  if (changed) { said = now; phase.textContent = now; }
}

function markConnected() {
  clearTimeout(missing);
  missing = null;
  lost.hidden = true;
}

function end() {
  source?.close();
  source = null;
  if (state.dataset.reload) loadAgain();  // the forms below follow what is possible now
}

async function ask() {
  try {
    const answer = await fetch(state.dataset.state);
    if (answer.status === 401 || answer.redirected) { loadAgain(); return; }  // to sign in again
    if (!answer.ok) throw new Error(answer.status);
    show(await answer.text());
  } catch (error) {
    lost.hidden = false;  // the page has the last state that arrived
  }
  if (live()) setTimeout(ask, ASK_MS); else end();
}

function listen() {
  source = new EventSource(state.dataset.events);
  source.onmessage = (event) => {
    show(JSON.parse(event.data));
    if (!live()) end();
  };
  source.onerror = () => {
    if (source?.readyState !== EventSource.CLOSED) {  // it asks again by itself
      missing ??= setTimeout(() => { lost.hidden = false; }, LOST_MS);
      return;
    }
    source = null;
    clearTimeout(missing);
    ask();
  };
}

if (state && live()) listen();
addEventListener("pagehide", () => source?.close());
