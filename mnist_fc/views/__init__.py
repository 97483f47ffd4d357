"""The views: the only code that knows Streamlit. Each module draws one part of the page and holds no logic of its own.

Start with `page.py`, which draws the page from its parts, `controls.py` and `drawing.py`; `README.md` lists the others.
`serving.py` starts the server, `state/` keeps what the page knows between its runs, and `components/` is drawn in the browser.
"""
