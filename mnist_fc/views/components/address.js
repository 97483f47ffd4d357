// Shows the page's query in the browser's address bar. The default function is called when the page appears and again with each
// new query; see address.py.

export default function ({ data }) {
  const streamlits = [...new URLSearchParams(location.search)].filter(([name]) => data.streamlits.includes(name));
  const query = [data.query, String(new URLSearchParams(streamlits))].filter(Boolean).join("&");
  if (location.search.slice(1) !== query) history.replaceState(history.state, "", `${location.pathname}?${query}${location.hash}`);
}
