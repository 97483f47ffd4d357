// The address of the page. The default function is called when the page appears and again with each new query; see address.py.

export default function ({ data }) {
  const options = new URLSearchParams(location.search);
  const embed = ["embed", "embed_options"].flatMap((name) => options.getAll(name).map((value) => [name, value]));
  const query = [data.query, String(new URLSearchParams(embed))].filter(Boolean).join("&");
  if (location.search.slice(1) !== query) history.replaceState(history.state, "", `${location.pathname}?${query}${location.hash}`);
}
