// A page that loads itself again must not take the focus from somebody who goes through it by keyboard.
const KEY = "focus-again";
const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]";

/** What tells an element from the others of its page, before and after. */
const mark = (element) => [location.pathname, element.tagName, element.id, element.name, element.getAttribute("href"),
  element.textContent.trim().slice(0, 80)].join("\n");

export function loadAgain() {
  const focused = document.activeElement;
  try {
    if (focused?.matches(FOCUSABLE)) sessionStorage.setItem(KEY, mark(focused));
  } catch { /* storage is forbidden: the focus begins at the top */ }
  location.reload();
}

try {
  const focused = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  if (focused) {
    [...document.querySelectorAll(FOCUSABLE)].find((element) => mark(element) === focused)?.focus({ preventScroll: true });
  }
} catch { /* as above */ }
