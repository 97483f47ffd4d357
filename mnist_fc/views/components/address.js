// Shows the page's query in the browser's address bar. The default function is called when the page appears and again with each
// new query; see address.py.

let session = null; // whose query the address bar shows
let asked = null; // the session that was told what the address bar shows

export default function ({ data, setStateValue }) {
  const options = [...new URLSearchParams(location.search)];
  const isStreamlits = ([name]) => name === "embed" || name === "embed_options";
  // A new session on the same page: the server has restarted. Streamlit sends it the address with which the page was loaded.
  if (session !== null && session !== data.session && !data.isAdopted) {
    if (asked === data.session) return;
    asked = data.session;
    setStateValue("shown", String(new URLSearchParams(options.filter((option) => !isStreamlits(option)))));
    return;
  }
  session = data.session;
  const query = [data.query, String(new URLSearchParams(options.filter(isStreamlits)))].filter(Boolean).join("&");
  if (location.search.slice(1) !== query) history.replaceState(history.state, "", `${location.pathname}?${query}${location.hash}`);
}
