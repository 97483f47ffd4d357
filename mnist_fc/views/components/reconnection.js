// Wakes the page when its connection returns. A server that has restarted knows nothing of the page, and Streamlit's browser does
// not tell it anything until something is pressed. So this component sends a message, which runs the script. It contains the
// query that the address bar shows, which the new session begins with; see address.py.

let report = null; // sends the server what the address bar shows
let isConnected = true;

export default function ({ setStateValue }) {
  if (!report) {
    const attributes = { attributeFilter: ["data-test-connection-state"], subtree: true };
    new MutationObserver(check).observe(document.body, attributes);
  }
  report = () => setStateValue("query", location.search.slice(1));
}

function check() {
  const wasConnected = isConnected;
  isConnected = document.querySelector(".stApp")?.dataset.testConnectionState === "CONNECTED";
  // Without a connection Streamlit keeps the report. The first message that it sends by itself contains it, too.
  if (isConnected !== wasConnected) report();
}
