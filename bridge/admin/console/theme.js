// Light, dark, or what the system says. A classic script in the head: the first thing painted has the right colours.
"use strict";
{
  const KEY = "ocpp-bridge.theme";
  const kept = () => {
    try { return localStorage.getItem(KEY); } catch { return null; }
  };
  const apply = (theme) => {
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
  };
  apply(kept());
  window.bridgeTheme = {
    get: () => document.documentElement.dataset.theme ?? "system",
    set(theme) {
      apply(theme);
      try { localStorage.setItem(KEY, theme); } catch { /* private windows may refuse: it holds until the next load */ }
    },
  };
}
