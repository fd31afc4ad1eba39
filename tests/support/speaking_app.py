"""An ASGI application for uvicorn that speaks WebSocket: it echoes, tells what it was asked, and does as it is told.

By HTTP it has a list of items, and a conflict for whoever posts.
"""

from __future__ import annotations

import json

ITEMS = json.dumps({"items": [{"id": 7}]}).encode()


async def app(scope, receive, send):
    if scope["type"] == "http":
        status = 409 if scope["method"] == "POST" else 200
        length = (b"content-length", str(len(ITEMS)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [length]})
        await send({"type": "http.response.body", "body": ITEMS})
        return
    await receive()
    if scope["path"] == "/refused":
        await send({"type": "websocket.close"})
        return
    offered = scope["subprotocols"]
    chosen = {"subprotocol": offered[-1]} if offered else {}
    await send({"type": "websocket.accept", "headers": [(b"set-cookie", b"seat=7; Path=/")], **chosen})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        text = event.get("text")
        word, _, rest = (text or "").partition(" ")
        if word == "asked":
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            asked = {"path": scope["path"], "headers": headers, "client": scope["client"][0]}
            await send({"type": "websocket.send", "text": json.dumps(asked)})
        elif word == "close":
            await send({"type": "websocket.close", "code": int(rest)})
        elif word == "many":
            for number in range(int(rest)):
                await send({"type": "websocket.send", "text": f"push {number}"})
        elif word == "hush":
            pass
        elif text is None:
            await send({"type": "websocket.send", "bytes": event["bytes"]})
        else:
            await send({"type": "websocket.send", "text": text})
