"""Components: what the page draws in the browser by scripts of its own, and how values and events pass to and from them.

Start with `component.py`. Each component is a Python file and a JavaScript file of the same name; `numbers.py` and
`numbers.js` write numbers the same way on both sides.

May import: drawing, config, records, files; nothing else of the views.
"""
