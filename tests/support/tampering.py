"""Messages that are changed on their way from the browser to the server."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, WebSocketRoute
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState


def tamper_with(page: Page, change: Callable[[WidgetState], None]) -> None:
    """Let `change` alter every widget state that the page sends, from its next connection on."""

    def tamper(route: WebSocketRoute) -> None:
        upstream = route.connect_to_server()

        def forward(message: str | bytes) -> None:
            assert isinstance(message, bytes)
            content = BackMsg.FromString(message)
            for state in content.rerun_script.widget_states.widgets:
                change(state)
            upstream.send(content.SerializeToString())

        route.on_message(forward)
        upstream.on_message(route.send)

    page.route_web_socket(re.compile("_stcore/stream"), tamper)
