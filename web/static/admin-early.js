// Runs before the page is drawn: what somebody presses or changes before admin-try.js is there waits for it.
window.earlyEvents = [];
for (const type of ["keydown", "input", "change"]) {
  document.addEventListener(type, function (event) {
    if (window.earlyEvents) window.earlyEvents.push(event);
  });
}
