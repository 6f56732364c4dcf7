"""The webhook intake: FastAPI under uvicorn.

A click is answered once PostgreSQL has committed it. A postback is answered once RabbitMQ has
confirmed it, as a persistent message in a durable queue; what it means is the workers' business.
"""

import asyncio
import os
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import aio_pika
import aiormq
import asyncpg
import orjson
from fastapi import FastAPI, Request, Response
from pamqp.commands import Basic
from pydantic import BaseModel, ValidationError

QUEUE = os.environ["PEER_QUEUE"]
TASK = os.environ["PEER_TASK"]
BROKER = os.environ["PEER_BROKER"]
DATABASE = os.environ["PEER_DATABASE"]
# Clicks are written one by one, or all that wait together.
CLICKS_TOGETHER = os.environ["PEER_BOOKING"] == "batches"

CLICK_SQL = """
    INSERT INTO clicks (click_id, link_id, user_id, country, user_agent, created_at)
    VALUES ($1, $2, $3, $4, $5, $6)
"""
CLICKS_SQL = """
    INSERT INTO clicks (click_id, link_id, user_id, country, user_agent, created_at)
    SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[],
                         $6::timestamptz[])
"""
JSON = "application/json"
ACCEPTED = b'{"status":"ok"}'
IGNORED = b'{"status":"ok","ignored":true,"reason":"missing_click"}'
MESSAGE_PERSISTENT = 2


class Click(BaseModel):
    """What a page reports of a click."""

    link_id: UUID
    user_id: UUID | None = None


class Ids:
    """63-bit ids that no other process draws: milliseconds, instance, counter."""

    def __init__(self, instance: int) -> None:
        self.instance = instance % 1024
        self.counter = 0

    def draw(self) -> int:
        self.counter = (self.counter + 1) % 4096
        return (time.time_ns() // 1_000_000) << 22 | self.instance << 12 | self.counter


class Clicks:
    """Writes clicks in one statement for all that came while the one before was under way."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.waiting: list[tuple[tuple, asyncio.Future]] = []
        self.writer: asyncio.Task | None = None

    async def write(self, row: tuple) -> None:
        if not CLICKS_TOGETHER:
            await self.pool.execute(CLICK_SQL, *row)
            return
        written = asyncio.get_running_loop().create_future()
        self.waiting.append((row, written))
        if self.writer is None or self.writer.done():
            self.writer = asyncio.create_task(self.drain())
        await written

    async def drain(self) -> None:
        while self.waiting:
            batch, self.waiting = self.waiting, []
            try:
                columns = zip(*(row for row, _ in batch), strict=True)
                await self.pool.execute(CLICKS_SQL, *columns)
            except (asyncpg.PostgresError, OSError) as error:
                for _, written in batch:
                    written.set_exception(error)
            else:
                for _, written in batch:
                    written.set_result(None)


@asynccontextmanager
async def lifespan(app: FastAPI):
    async with asyncpg.create_pool(DATABASE, min_size=4, max_size=8) as pool:
        instance = await pool.fetchval("SELECT nextval('intake_instances')")
        broker = await aio_pika.connect_robust(BROKER)
        channel = await broker.channel(publisher_confirms=True)
        await channel.declare_queue(QUEUE, durable=True)
        app.state.ids = Ids(instance)
        app.state.clicks = Clicks(pool)
        app.state.channel = channel
        yield
        await broker.close()


app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)


@app.get("/health")
async def health() -> Response:
    return Response(ACCEPTED, media_type=JSON)


async def click(request: Request) -> Response:
    try:
        said = Click.model_validate_json(await request.body())
    except ValidationError as error:
        return Response(error.json(), 422, media_type=JSON)
    state, headers = request.app.state, request.headers
    click_id = state.ids.draw()
    agent, country = headers.get("user-agent"), headers.get("cf-ipcountry")
    row = (click_id, said.link_id, said.user_id, country, agent, datetime.now(UTC))
    try:
        await state.clicks.write(row)
    except (asyncpg.PostgresError, OSError):
        return Response(b'{"error":"unavailable"}', 503, media_type=JSON)
    named = str(click_id)
    return Response(orjson.dumps({"click_id": named, "click_token": named}), media_type=JSON)


async def conversion(request: Request) -> Response:
    query = request.scope["query_string"].decode("latin-1")
    if request.method == "POST":
        query = "&".join(filter(None, (query, (await request.body()).decode("utf-8", "replace"))))
    if "p1=" not in query and "click_id=" not in query:
        return Response(IGNORED, media_type=JSON)
    state = request.app.state
    report = state.ids.draw()
    try:
        await publish(state.channel, report, query)
    except (aiormq.exceptions.AMQPError, aio_pika.exceptions.AMQPError, OSError):
        return Response(b'{"error":"unavailable"}', 503, media_type=JSON)
    return Response(ACCEPTED, media_type=JSON)


async def publish(channel: aio_pika.abc.AbstractChannel, report: int, query: str) -> None:
    """Sends a task as Celery's message protocol 2 lays it out; returns once it is confirmed."""
    under = await channel.get_underlay_channel()
    confirmed = await under.basic_publish(
        orjson.dumps([[report, time.time_ns() // 1_000, query], {}, None]),
        routing_key=QUEUE,
        properties=Basic.Properties(
            content_type=JSON,
            content_encoding="utf-8",
            delivery_mode=MESSAGE_PERSISTENT,
            correlation_id=str(report),
            # The representation of arguments, for the workers' logs, would be made there otherwise.
            headers={"lang": "py", "task": TASK, "id": str(report), "argsrepr": "-"},
        ),
    )
    if not isinstance(confirmed, Basic.Ack):
        raise aiormq.exceptions.PublishError(confirmed, None)


# Plain routes: the ones with parameters cost more, and there is nothing to validate by them.
app.add_route("/v1/events/click", click, methods=["POST"])
app.add_route("/v1/events/conversion", conversion, methods=["GET", "POST"])
