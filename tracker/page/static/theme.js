// Runs before the first paint, so that nobody sees the other theme flash by.
"use strict";
try {
  const theme = localStorage.getItem("choreo-theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage the system's choice holds.
}
