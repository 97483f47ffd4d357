"""State: the data that the page keeps for each session and for the whole server, beside Streamlit's own session state.

Start with `session.py`: who this session is, and which run it shows. `shared.py` holds the objects that all sessions share
(scheduler, data, the built-in network), `throttle.py` the results that are computed once for all. `networks.py` tells which
network reads, `address.py` reads and writes the page's address, `sync.py` keeps widgets and settings equal over a slow
connection, `presses.py` tells what a button meant when it was pressed. `streamlit_patches.py` is the only file that touches
Streamlit's internals.

May import: everything below the views, and views/components.
"""
