// The part of a page that changes by itself: by events where the server has a thread to spare, else by asking.
const state = document.getElementById("state");
const phase = document.getElementById("phase");
let source = null;
let said = state.querySelector("[data-phase]")?.textContent;

function show(html) {
  // What somebody is about to press, or has opened, stays under their hand.
  const held = state.contains(document.activeElement) && document.activeElement !== document.body;
  const ticked = state.querySelector("input[type=checkbox]:checked");
  const open = state.querySelector("details[open]");
  const next = document.createElement("div");
  next.innerHTML = html;
  const now = next.querySelector("[data-phase]")?.textContent;
  const changed = now !== said;
  if (!changed && (held || ticked || open)) return;
  state.replaceChildren(...next.childNodes);
  if (changed) { said = now; phase.textContent = now; }
  if (!state.querySelector("[data-live]")?.dataset.live && source) {
    source.close();
    source = null;
    location.reload();  // the forms below follow what is possible now
  }
}

async function ask() {
  try {
    const answer = await fetch(state.dataset.state);
    if (answer.ok && !answer.redirected) show(await answer.text());
  } catch (error) { /* the connection comes back, or the person reloads */ }
}

function listen() {
  source = new EventSource(state.dataset.events);
  source.onmessage = (event) => show(JSON.parse(event.data));
  source.onerror = () => {
    if (source?.readyState !== EventSource.CLOSED) return;  // it asks again by itself
    source = null;
    const timer = setInterval(async () => {
      await ask();
      if (!state.querySelector("[data-live]")?.dataset.live) { clearInterval(timer); location.reload(); }
    }, 3000);
  };
}

if (state.querySelector("[data-live]")?.dataset.live) listen();
addEventListener("pagehide", () => source?.close());
