// Shows a banner while the page has no connection to the server. Streamlit itself shows a skeleton or greys the page, and does not
// notice a connection that is merely silent, as when Wi-Fi is gone. The state of its websocket is an attribute of Streamlit's root
// element: if a new version of Streamlit does not have it, the banner never appears. It also shows at once that a button was pressed.

(() => {
  const TICK = 400; // milliseconds. Patience is counted in ticks, since time also passes while the computer sleeps
  const CONNECT_PATIENCE = 10; // ticks without a websocket before the banner appears: connecting often takes less
  const ANSWER_PATIENCE = 7; // ticks without an answer: a busy server takes less
  const REST = 5; // ticks from one request to the next: answering takes the server 1 ms
  const HEALTH = new URL("_stcore/health", document.baseURI);
  const NEVER_CONNECTED = "The page cannot connect to its server, so it stays empty. A proxy in between must forward websockets, " +
    "with their Upgrade and Host headers: see mnist_fc/server/README.md.";
  const LOST = "The connection to the server is lost. The page shows the last state it received, and reconnects automatically.";

  const banner = document.body.appendChild(document.createElement("div"));
  banner.id = "no-connection";
  banner.setAttribute("role", "alert");
  banner.style.cssText = `position: fixed; inset: auto 0 0; z-index: 1000001; padding: 0.7rem 1rem; text-align: center;
    font: 600 1rem/1.4 sans-serif; color: #fff; background: #8c1d18; border-top: 2px solid #fff;`;
  banner.hidden = true;

  let missed = 0; // ticks without a websocket
  let silent = 0; // ticks since the server left a request unanswered
  let rested = 0; // ticks since the last request
  let canAnswer = false; // a proxy may forward no such requests
  let request; // controls the one on the way
  let words = NEVER_CONNECTED;

  const state = () => document.querySelector(".stApp")?.dataset.testConnectionState;

  function tick() {
    if (!state()) return; // Streamlit's own scripts are still loading
    const isConnected = navigator.onLine && state() === "CONNECTED";
    if (isConnected) words = LOST;
    if (isConnected && missed) silent = 0; // it is a new connection
    missed = isConnected ? 0 : missed + 1;
    if (isConnected && document.visibilityState === "visible") listen();
    show();
  }

  /** Count for how long a request has been on the way, and send the next one after a rest or when it is given up. */
  function listen() {
    rested += 1;
    if (request || silent) silent += 1;
    if (rested < (request ? ANSWER_PATIENCE : REST)) return;
    rested = 0;
    request?.abort(); // a network that comes back answers a new request sooner
    ask();
  }

  async function ask() {
    const own = request = new AbortController();
    try {
      await fetch(HEALTH, { cache: "no-store", signal: own.signal });
      canAnswer = true;
      silent = 0;
    } catch {
      silent ||= 1; // the network is gone, or the request was given up
    }
    if (request === own) request = undefined;
    show();
  }

  function show() {
    banner.hidden = missed < CONNECT_PATIENCE && !(canAnswer && silent >= ANSWER_PATIENCE);
    const text = banner.hidden ? "" : words;
    if (banner.textContent !== text) banner.textContent = text; // screen readers read it when it changes
  }

  /** Disable our own components while there is no connection, as Streamlit disables its widgets: a press would be lost. */
  function disable() {
    const parts = document.querySelectorAll(".timeline, .runs, .confusion, .pixel-pictures, .picture-boxes");
    for (const part of parts) part.inert = state() !== "CONNECTED";
  }

  /** Close Streamlit's dialog about a lost connection, which covers the page and tells the person to start a script. */
  function closeDialog() {
    const dialog = state() !== "CONNECTED" && document.querySelector("[data-testid=stDialog]");
    if (!dialog || dialog.querySelector("[slot=title]")?.textContent !== "Connection error") return;
    dialog.style.display = "none"; // it would fade out
    dialog.querySelector("button[aria-label=Close]").click();
  }

  /** Dim a pressed button until the page has answered: over a slow network that takes a second. */
  function dim({ target }) {
    target.closest?.("[data-testid=stButton] button")?.classList.add("pressed");
  }

  function undim() {
    if (document.querySelector(".stApp")?.dataset.testScriptState !== "notRunning") return;
    for (const button of document.querySelectorAll("button.pressed")) button.classList.remove("pressed");
  }

  document.addEventListener("click", dim);
  new MutationObserver(undim).observe(document.body, { subtree: true, attributeFilter: ["data-test-script-state"] });
  setInterval(tick, TICK);
  new MutationObserver(disable).observe(document.body, { subtree: true, attributeFilter: ["data-test-connection-state"] });
  new MutationObserver(closeDialog).observe(document.body, { childList: true });
})();
