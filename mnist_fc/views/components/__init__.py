"""Components: parts of the page that its own scripts draw in the browser, with the values and events that they exchange.

Start with `component.py`. A component is a JavaScript file; most have a Python file of the same name, the others are used by
one view, which their first lines name. `numbers.py` and `numbers.js` write numbers the same way on both sides. `canvas.py`
builds on `drawable_canvas.py`, the front end of another package.

May import: drawing, config, records, files; nothing else of the views.
"""
