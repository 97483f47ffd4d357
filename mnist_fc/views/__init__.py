"""The views: the only code that knows Streamlit. Each module draws one part of the page and holds no logic of its own."""
