"""The review page over HTTP, on loopback alone: one session, one browser."""

import asyncio
import json
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from robo_reward.errors import InputError, OutputError, RoboRewardError

from .pages import asset, fill, inline_hash, script
from .review_decisions import ConflictError
from .review_frames import FramePictures
from .review_guard import HEADERS, TOKEN, Guard
from .review_places import Version, between
from .review_session import Session

HOST = "127.0.0.1"
MOST_BODY = 64 * 1024
"""Bytes of a request at most."""
SCRIPTS = ("page_parts.js", "page_chart.js", "review_script.js", "review_keys.js")
USED = (
    "this address works once: it was used, or the token is wrong. Go on where the page is open, "
    "or end 'robo-reward review' and start it again for a new address; no decision is lost."
)
OPENED = (
    '<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,">'
    '<meta http-equiv="refresh" content="0;url=/">'
)
"""Leads on from the token; a redirect would not carry the cookie if another page led here."""


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What the requests are about."""

    session: Session
    """The reviewer's decisions."""
    pictures: FramePictures
    """Frames on request."""
    guard: Guard
    """Who may ask."""
    pool: ThreadPoolExecutor
    """Decodes beside the loop that answers."""


def listen(port: int) -> socket.socket:
    """Return a socket that listens on loopback, at a port or a free one (0).

    Raises:
        InputError: If the port is taken or may not be used.
    """
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else error
        raise InputError(
            f"--port {port} cannot be used ({reason}); name another, or leave it out for a free one"
        ) from error


def serve(session: Session, pictures: FramePictures, heard: socket.socket) -> None:
    """Answer on a listening socket until Ctrl-C or SIGTERM; prints the address that opens it."""
    guard = Guard(heard.getsockname()[1])
    with ThreadPoolExecutor(2) as pool:
        desk = Desk(session=session, pictures=pictures, guard=guard, pool=pool)
        asyncio.run(_serve(desk, heard))


async def _serve(desk: Desk, heard: socket.socket) -> None:
    ended = asyncio.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sign, ended.set)
    runner = web.AppRunner(application(desk), access_log=None)  # it would hold the token
    await runner.setup()
    await web.SockSite(runner, heard).start()
    print(f"open {desk.guard.address}")
    print(
        "it works once, in one browser; Ctrl-C ends the review, every decision is kept", flush=True
    )
    try:
        await ended.wait()
    finally:
        await runner.cleanup()


def application(desk: Desk) -> web.Application:
    """Return the application that answers about a desk."""
    app = web.Application(client_max_size=MOST_BODY, middlewares=[_guarded(desk)])
    page = _Page()
    app.router.add_get("/", page.show)
    asks = _Asks(desk)
    app.router.add_get("/episodes", asks.summary)
    app.router.add_get(r"/episodes/{episode:\d{1,9}}", asks.detail)
    app.router.add_put(r"/episodes/{episode:\d{1,9}}", asks.decide)
    app.router.add_get(r"/frames/{episode:\d{1,9}}/{view:\d{1,3}}/{frame:\d{1,9}}", asks.frame)
    app.router.add_post("/undo", asks.undo)
    app.router.add_post("/write", asks.write)
    return app


class _Page:
    """The page itself, which holds no text of the dataset."""

    def __init__(self) -> None:
        code = script(*SCRIPTS)
        style = asset("report_style.css") + asset("review_style.css")
        parts = {"style": style, "script": code}
        self._text = fill(asset("review_template.html"), parts)
        self._policy = "; ".join(
            (
                "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                "img-src 'self' data:; connect-src 'self'",
                f"style-src '{inline_hash(style)}'; script-src '{inline_hash(code)}'",
            )
        )

    async def show(self, _: web.Request) -> web.Response:
        policy = {"Content-Security-Policy": self._policy}
        return web.Response(text=self._text, content_type="text/html", headers=policy)


class _Asks:
    """What the page asks."""

    def __init__(self, desk: Desk) -> None:
        self._session, self._desk = desk.session, desk

    async def summary(self, _: web.Request) -> web.Response:
        return _json(self._session.summary())

    async def detail(self, request: web.Request) -> web.Response:
        return _json(self._session.detail(self._episode(request)))

    async def decide(self, request: web.Request) -> web.Response:
        """Take a decision on an episode, and answer with what is decided then.

        Raises:
            InputError: If it is no decision, or of an episode that is not there.
        """
        number = self._episode(request)
        if request.content_type != "application/json":
            raise InputError("a decision must be sent as application/json")
        try:
            told = json.loads(await request.read())
        except (ValueError, RecursionError) as error:
            raise InputError("a decision must be JSON") from error
        if not isinstance(told, dict) or not isinstance(told.get("before"), dict):
            raise InputError("a change must say the decision before it and the decision")
        return _json(self._session.decide(number, told.get("decision"), before=told["before"]))

    async def undo(self, _: web.Request) -> web.Response:
        return _json(self._session.undo())

    async def write(self, _: web.Request) -> web.Response:
        before = self._session.version
        version = self._session.write(datetime.now(UTC).isoformat(timespec="seconds"))
        warning = _left_out(between(before, version), before)
        print(f"version {version.number}: {version.folder}{warning}", flush=True)
        told = {"version": version.number, "folder": str(version.folder), "warning": warning}
        return _json(told)

    async def frame(self, request: web.Request) -> web.Response:
        episode = self._session.episode(self._episode(request)).episode
        view, frame = int(request.match_info["view"]), int(request.match_info["frame"])
        if view >= len(episode.views) or frame >= episode.length:
            raise web.HTTPNotFound
        ask = partial(self._desk.pictures.jpeg, episode.index, episode.views[view], frame)
        picture = await asyncio.get_running_loop().run_in_executor(self._desk.pool, ask)
        return web.Response(body=picture, content_type="image/jpeg")

    def _episode(self, request: web.Request) -> int:
        number = int(request.match_info["episode"])
        try:
            self._session.episode(number)
        except InputError as error:
            raise web.HTTPNotFound(text=str(error)) from error
        return number


def _left_out(others: list[str], before: Version) -> str:
    """Return in words which versions a new one does not hold; nothing if it holds all."""
    if not others:
        return ""
    return (
        f"; it goes on from version {before.number}, so what was decided in {', '.join(others)} is "
        "not in it: review.json beside each says what that is"
    )


def _json(value: object, status: int = 200) -> web.Response:
    return web.json_response(text=json.dumps(value, allow_nan=False), status=status)


def _guarded(desk: Desk) -> Middleware:
    """Return the middleware that lets in whoever may ask, and tells errors in a sentence."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = await _answer(desk.guard, request, handler)
        answer.headers.update({**HEADERS, **answer.headers})
        return answer

    return guarded


async def _answer(guard: Guard, request: web.Request, handler: Handler) -> web.StreamResponse:
    if guard.stranger(request.headers):
        return web.Response(text="this page answers only to itself", status=403)
    if not guard.known(request.headers, request.cookies.get(guard.cookie)):
        return _admitted(guard, request)
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _json({"error": error.text or error.reason}, error.status)
    except ConflictError as error:
        return _json({"error": str(error)}, 409)
    except InputError as error:
        return _json({"error": str(error)}, 400)
    except OutputError as error:
        return _json({"error": str(error)}, 507)
    except RoboRewardError as error:
        return _json({"error": str(error)}, 500)


def _admitted(guard: Guard, request: web.Request) -> web.Response:
    opening = request.method == "GET" and request.path == "/"
    cookie = guard.admit(request.query.get(TOKEN)) if opening else None
    if cookie is None:
        return web.Response(text=USED, status=403)
    answer = web.Response(text=OPENED, content_type="text/html")
    answer.set_cookie(guard.cookie, cookie, httponly=True, samesite="Strict", path="/")
    return answer
