"""Components: what the page draws in the browser with its own scripts, and how values and events pass to and from them.

Start with `component.py`. A component is a JavaScript file; most have a Python file of the same name, the others are used by
one view, which their first lines name. `numbers.py` and `numbers.js` write numbers the same way on both sides. `canvas.py`
builds on `drawable_canvas.py`, the front end of another package.

May import: drawing, config, records, files; nothing else of the views.
"""
