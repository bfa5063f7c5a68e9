// Runs before the first paint, on every page: the chosen theme must not flash, and styles must know that scripts run.
(function () {
  var root = document.documentElement;
  root.classList.add("js");
  try {
    var theme = localStorage.getItem("hybrid-theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch (error) { /* storage may be forbidden; the system's theme then stands */ }
  document.addEventListener("click", function (event) {
    if (!event.target.closest("#theme")) return;
    var dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("hybrid-theme", root.dataset.theme); } catch (error) { /* lasts until the page is left */ }
  });
})();
