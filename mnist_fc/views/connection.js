// Says in words that the page has no connection to the server. Streamlit tells the state of the connection in an attribute of its
// root element, and shows a skeleton or greys the page; its own dialog comes later, and closes when it is clicked away.

(() => {
  const EVERY = 1000; // milliseconds
  const PATIENCE = 4; // looks in a row without a connection before it is said: to connect often takes less
  const NEVER_CONNECTED = "The page cannot connect to its server, so it stays empty. A proxy in between must pass on websockets, " +
    "with their Upgrade and Host headers: see In a class in mnist_fc/server/README.md.";
  const LOST = "The connection to the server is lost. The page shows the last state it received, and reconnects by itself.";

  const banner = document.body.appendChild(document.createElement("div"));
  banner.id = "no-connection";
  banner.setAttribute("role", "alert");
  banner.style.cssText = `position: fixed; inset: auto 0 0; z-index: 1000001; padding: 0.7rem 1rem; text-align: center;
    font: 600 1rem/1.4 sans-serif; color: #fff; background: #8c1d18; border-top: 2px solid #fff;`;
  banner.hidden = true;

  let missed = 0;
  let words = NEVER_CONNECTED;

  function look() {
    const root = document.querySelector(".stApp");
    if (!root) return; // Streamlit's own scripts are still on their way
    const isConnected = navigator.onLine && root.dataset.testConnectionState === "CONNECTED";
    if (isConnected) words = LOST;
    missed = isConnected ? 0 : missed + 1;
    banner.hidden = missed < PATIENCE;
    const text = banner.hidden ? "" : words;
    if (banner.textContent !== text) banner.textContent = text; // it is read aloud when it changes
  }

  setInterval(look, EVERY);
})();
