// Shows a banner while the page has no connection to the server. Streamlit itself shows a skeleton or greys the page; its dialog
// comes later, and closes when it is clicked away. The state of the connection is an attribute of Streamlit's root element: if a
// new version of Streamlit does not have it, the banner never appears.

(() => {
  const EVERY = 1000; // milliseconds
  const PATIENCE = 4; // checks in a row without a connection before the banner appears: connecting often takes less
  const NEVER_CONNECTED = "The page cannot connect to its server, so it stays empty. A proxy in between must forward websockets, " +
    "with their Upgrade and Host headers: see mnist_fc/server/README.md.";
  const LOST = "The connection to the server is lost. The page shows the last state it received, and reconnects automatically.";

  const banner = document.body.appendChild(document.createElement("div"));
  banner.id = "no-connection";
  banner.setAttribute("role", "alert");
  banner.style.cssText = `position: fixed; inset: auto 0 0; z-index: 1000001; padding: 0.7rem 1rem; text-align: center;
    font: 600 1rem/1.4 sans-serif; color: #fff; background: #8c1d18; border-top: 2px solid #fff;`;
  banner.hidden = true;

  let missed = 0;
  let words = NEVER_CONNECTED;

  function check() {
    const state = document.querySelector(".stApp")?.dataset.testConnectionState;
    if (!state) return; // Streamlit's own scripts are still loading
    const isConnected = navigator.onLine && state === "CONNECTED";
    if (isConnected) words = LOST;
    missed = isConnected ? 0 : missed + 1;
    banner.hidden = missed < PATIENCE;
    const text = banner.hidden ? "" : words;
    if (banner.textContent !== text) banner.textContent = text; // screen readers read it when it changes
  }

  setInterval(check, EVERY);
})();
