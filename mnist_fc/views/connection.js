// Says in words that the connection to the server is lost. Streamlit tells the state of the connection in an attribute of its root
// element, and greys the page; its own dialog comes later, and closes when it is clicked away.

(() => {
  if (document.getElementById("connection-lost")) return; // it already runs

  const EVERY = 1000; // milliseconds
  const PATIENCE = 3; // looks in a row without a connection before it is said: a reconnection often takes less

  const banner = document.body.appendChild(document.createElement("div"));
  banner.id = "connection-lost";
  banner.setAttribute("role", "alert");
  banner.style.cssText = `position: fixed; inset: auto 0 0; z-index: 1000001; padding: 0.7rem 1rem; text-align: center;
    font: 600 1rem/1.4 sans-serif; color: #fff; background: #8c1d18; border-top: 2px solid #fff;`;
  banner.hidden = true;

  let missed = 0;

  function look() {
    const isConnected = navigator.onLine && document.querySelector(".stApp")?.dataset.testConnectionState === "CONNECTED";
    missed = isConnected ? 0 : missed + 1;
    const isLost = missed >= PATIENCE;
    if (isLost === !banner.hidden) return;
    banner.hidden = !isLost;
    banner.textContent = isLost
      ? "The connection to the server is lost. The page shows the last state it received, and reconnects by itself."
      : "";
  }

  setInterval(look, EVERY);
})();
