"""State: what the page keeps for each session and for the whole server, beside what Streamlit keeps.

Start with `session.py`: who this session is, and which run it shows. `shared.py` holds what all sessions share
(scheduler, data, the shipped network), `networks.py` says which network reads, `sync.py` keeps widgets and settings
equal over a slow connection, and `streamlit_patches.py` is the only file that touches Streamlit's internals.

May import: everything below the views, and views/components.
"""
