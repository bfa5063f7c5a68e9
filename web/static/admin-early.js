// Runs before the page is drawn: a key that is pressed on a hit before admin-try.js is there waits for it.
window.earlyKeys = [];
document.addEventListener("keydown", function (event) {
  if (window.earlyKeys && event.target.closest("li[data-id]")) window.earlyKeys.push(event);
});
