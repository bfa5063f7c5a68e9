// Shows how far a training or an evaluation is. The page works without it.
const box = document.getElementById("order-box");
const panel = document.getElementById("order");
const said = document.getElementById("order-said");
const lost = document.getElementById("order-lost");
const POLL_MS = 2000;
const shown = () => document.getElementById("order-shown");

async function look() {
  try {
    const answer = await fetch(panel.dataset.state);
    if (answer.status === 401 || answer.redirected) { location.reload(); return; }
    if (!answer.ok) throw new Error(answer.statusText);
    const before = shown().dataset;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const inside = box.contains(document.activeElement);
    box.replaceChildren(...page.body.childNodes);
    if (inside) box.querySelector("a")?.focus();
    if (shown().dataset.said !== before.said) said.textContent = shown().dataset.said;
    lost.hidden = true;
  } catch (error) {
    lost.hidden = false; // what is shown is the last that was heard
  }
  next();
}

function next() {
  if (shown().dataset.open === "1") setTimeout(look, POLL_MS);
}

if (panel) next();
