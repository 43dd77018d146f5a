"""Calling the page's functions by HTTP, as its scripts do."""

import json
import re


def number_of(client, name):
    """Gradio's number of a function of the page; None: of one that is a script."""
    text = client.get("/").text
    config = json.loads(re.search(r"window\.gradio_config = (\{.*?\});</script>", text, re.S)[1])
    return next(
        d["id"]
        for d in config["dependencies"]
        if (not d["backend_fn"] if name is None else d["api_name"] == name)
    )


def answer_to(client, event, session, values=(), **data):
    """What the queue says of an event, sent as the page's own scripts do.

    Args:
        client: of httpx, with the page's address.
        event: name of the page's function.
        values: its inputs; None for those that the server keeps.
        data: what the event itself says.
    """
    body = {
        "data": list(values),
        "fn_index": number_of(client, event),
        "session_hash": session,
        "event_data": data,
    }
    assert client.post("/gradio_api/queue/join", json=body).status_code == 200
    return client.get("/gradio_api/queue/data", params={"session_hash": session}).text
