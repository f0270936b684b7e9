// Before the first paint, so that nobody who chose dark is shown light: a classic script, not a module.
"use strict";
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "system";
