"""The server of the page, and the script that draws it. Run it with `streamlit run app.py`.

Streamlit imports this file once for the App, which serves the page even to a browser that cannot open a websocket. Then it runs
the file as a script at every change on the page. No view may be imported before there is a server.
"""

import streamlit as st

if __name__ == "__main__":
    from mnist_fc.views import page

    page.draw_page()
else:
    from mnist_fc.views import serving

    app = st.App(__file__, routes=serving.routes(), middleware=serving.middleware(), lifespan=serving.lifespan)
