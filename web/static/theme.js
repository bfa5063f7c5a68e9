// Runs before the first paint: the chosen theme must not flash, and styles must know that scripts run.
(function () {
  var root = document.documentElement;
  root.classList.add("js");
  try {
    var theme = localStorage.getItem("hybrid-theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch (error) { /* storage may be forbidden; the system's theme then stands */ }
})();
