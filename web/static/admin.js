// Every page works without this; it only saves waiting.
import { loadAgain } from "./admin-again.js";

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) { event.preventDefault(); return; }
  if (form.method === "post") {
    form.dataset.sent = "1";
    setTimeout(() => { for (const button of form.querySelectorAll("button")) button.disabled = true; });
  }
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("button")) button.disabled = false;
  }
});

// Where the navigation is wider than the screen, the page that is open is to be seen in it.
const here = document.querySelector(".admin-nav a[aria-current]");
const bar = here?.closest(".admin-nav");
if (bar) bar.scrollLeft = here.offsetLeft - (bar.clientWidth - here.offsetWidth) / 2;

for (const all of document.querySelectorAll("[data-choose-all]")) {
  all.addEventListener("change", () => {
    for (const box of document.querySelectorAll(`input[name="${all.dataset.chooseAll}"]`)) box.checked = all.checked;
  });
}

// A picture that the shop has lost leaves no broken frame.
for (const picture of document.querySelectorAll("img[data-optional]")) {
  picture.addEventListener("error", () => picture.remove());
  if (picture.complete && !picture.naturalWidth) picture.remove();
}

// Parts of the overview come after the page, each by itself.
for (const part of document.querySelectorAll("[data-part]")) {
  const inside = part.querySelector(".part");
  fetch(part.dataset.part).then(async (answer) => {
    if (!answer.ok || answer.redirected) throw new Error(answer.status);
    inside.innerHTML = await answer.text();
  }).catch(() => { inside.textContent = part.dataset.failed; }).finally(() => part.removeAttribute("aria-busy"));
}

// A form that asks for something slow: its answer comes into the page.
for (const form of document.querySelectorAll("form[data-into]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const into = document.getElementById(form.dataset.into);
    const button = form.querySelector("button");
    button.disabled = true;
    into.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(form.dataset.from);
      if (!answer.ok || answer.redirected) throw new Error(answer.status);
      into.innerHTML = await answer.text();
    } catch (error) {
      into.textContent = into.dataset.failed;
    }
    into.removeAttribute("aria-busy");
    button.disabled = false;
  });
}

// Work that is under way is looked at again, unless somebody is choosing or reading.
for (const work of document.querySelectorAll("[data-again-in]")) {
  const look = () => {
    const busy = document.querySelector("main :is(input:checked, details[open])");
    if (busy) setTimeout(look, 1000); else loadAgain();
  };
  setTimeout(look, 1000 * Number(work.dataset.againIn));
}
