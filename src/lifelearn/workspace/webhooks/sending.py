"""Sends deliveries: a task of each web process. A delivery is claimed in the database before it is sent, for a while.

At least once: a process that ends between the receiver's answer and our note of it has the delivery sent again, under
the same `webhook-id`, once the claim has run out. Receivers' answers count by their status alone.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, cast

import structlog
from fastapi import Request
from sqlalchemy import CursorResult, func, select, update

from lifelearn.settings import Settings
from lifelearn.workspace.crypto import Keys
from lifelearn.workspace.database import Database, ahead, now
from lifelearn.workspace.tables.organizations import Organization
from lifelearn.workspace.tables.webhooks import Delivery, Happening, Webhook
from lifelearn.workspace.webhooks import signing
from lifelearn.workspace.webhooks.addresses import Addresses, Ip, RefusedError, UnknownError, Url
from lifelearn.workspace.webhooks.notices import link_of
from lifelearn.workspace.webhooks.service import disable, on_told

POLL_SECONDS = 3.0  # what other processes told of is seen by looking
AT_ONCE, AT_ONCE_EACH = 16, 4  # deliveries of this process, and of one organisation; of a webhook one
TIMEOUT_SECONDS, CONNECT_SECONDS = 10.0, 4.0
CHECK_SECONDS = 4.0  # for the name of an address that is about to be kept
LEASE_SECONDS = 120.0  # far more than it takes, and than clocks differ
GRACE_SECONDS = 3.0  # at the end of the process
RETRY_SECONDS = (10, 60, 300, 1800, 7200, 21_600)  # after which failure how long; then it is given up
JITTER = 0.2
MOST_FAILURES = 20  # deliveries in a row that were given up; then the webhook is disabled
MOST_ADDRESSES = 4  # tried, of a name that has many
BODY_BYTES, BODY_SECONDS = 8192, 2.0  # of an answer that are waited for
PROBLEM_CHARS = 300
GONE = 410
USER_AGENT = f"Life-Learn/{version('lifelearn')} (webhook)"

log = structlog.get_logger("lifelearn.webhooks")


@dataclass(frozen=True)
class Parcel:
    """A claimed delivery, with all that is needed to send it. attempt: tells this claim from later ones."""

    delivery_id: uuid.UUID
    attempt: int
    webhook_id: uuid.UUID
    organization_id: uuid.UUID
    message_id: str
    url: str = field(repr=False)  # may end in a log with a trace
    secrets: tuple[str, ...] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Outcome:
    """status: of the answer, if there was one. problem: a sentence; "" where it was delivered."""

    status: int | None
    problem: str = ""


class Sender:
    """One for the application; `start` and `stop` are called on its event loop."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        keys: Keys,
        addresses: Addresses | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """trust: which certificates are believed, if not those that the system believes."""
        self.addresses = addresses or Addresses(settings.webhook_private_networks)
        self._database, self._settings, self._keys, self._trust = database, settings, keys, trust
        self._awake = asyncio.Event()
        self._running: dict[asyncio.Task[None], Parcel] = {}
        self._task: asyncio.Task[None] | None = None
        self._resolvers: ThreadPoolExecutor | None = None
        self._closing = False

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._closing = False

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._awake.set)

        self._unsubscribe = on_told(wake)
        # Threads of their own: a name server that does not answer holds up nobody else.
        self._resolvers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook-names")
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Takes nothing more, and waits a moment for what is on its way."""
        if self._task is None or self._resolvers is None:
            return
        self._unsubscribe()
        self._closing = True
        self._awake.set()
        await asyncio.wait([self._task], timeout=GRACE_SECONDS)  # what is being claimed is not forgotten
        self._task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=GRACE_SECONDS)
        left = [self._task, *self._running]
        for task in left:
            task.cancel()
        await asyncio.wait(left)
        self._resolvers.shutdown(wait=False, cancel_futures=True)
        self._task = self._resolvers = None

    async def _run(self) -> None:
        while not self._closing:
            self._awake.clear()
            parcels: list[Parcel] = []
            if len(self._running) < AT_ONCE:
                try:
                    parcels = await asyncio.to_thread(self.claim, list(self._running.values()))
                except Exception as error:  # the database may be back in a moment
                    log.warning("webhooks cannot be looked at", error=str(error))
            for parcel in parcels:
                task = asyncio.create_task(self._deliver(parcel))
                self._running[task] = parcel
                task.add_done_callback(self._ended)
            if not parcels and not self._closing:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._awake.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._awake.set()

    async def _deliver(self, parcel: Parcel) -> None:
        outcome = await self.send(parcel)
        try:
            await asyncio.to_thread(self.settle, parcel, outcome)
        except Exception as error:  # it is sent again when the claim has run out
            log.warning("a delivery cannot be noted", delivery=str(parcel.delivery_id), error=str(error))

    def check(self, text: str) -> Url:
        """Whether something may be sent there; may be called from any thread. Raises RefusedError.

        The request that asks holds a place that others wait for, and so waits for the name server a moment only.
        """
        if self._resolvers is None:
            return self.addresses.check(text)[0]
        try:
            return self._resolvers.submit(self.addresses.check, text).result(CHECK_SECONDS)[0]
        except TimeoutError:
            raise UnknownError("The name server does not answer. Try again in a minute.") from None

    # Claiming

    def claim(self, underway: Sequence[Parcel] = ()) -> list[Parcel]:
        """Takes what is due: of each webhook the first, of organisations that have much underway here none."""
        due = self._due([each.webhook_id for each in underway])
        if not due:
            return []
        each_has = Counter(each.organization_id for each in underway)
        chosen: list[tuple[uuid.UUID, int]] = []
        for delivery_id, attempts, organization_id in due:
            if each_has[organization_id] < AT_ONCE_EACH and len(underway) + len(chosen) < AT_ONCE:
                each_has[organization_id] += 1
                chosen.append((delivery_id, attempts))
        with self._database.write() as db:
            parcels = []
            for delivery_id, attempts in sorted(chosen):  # in one order everywhere: nobody waits in a circle
                # Whoever changes the count of attempts has it, until the moment at which it is due again.
                taken = db.execute(
                    update(Delivery)
                    .where(Delivery.id == delivery_id, Delivery.attempts == attempts, Delivery.next_at <= now())
                    .values(attempts=attempts + 1, next_at=ahead(seconds=LEASE_SECONDS))
                    .execution_options(synchronize_session=False)
                )
                if cast(CursorResult[Any], taken).rowcount:
                    found = db.execute(
                        select(Delivery, Webhook, Happening, Organization)
                        .join(Webhook, Webhook.id == Delivery.webhook_id)
                        .join(Happening, Happening.id == Delivery.happening_id)
                        .join(Organization, Organization.id == Delivery.organization_id)
                        .where(Delivery.id == delivery_id)
                    ).one()
                    if found.Webhook.enabled:
                        parcels.append(self._parcel(*found))
                    else:  # it was disabled while this was told
                        found.Delivery.next_at, found.Delivery.problem = None, "The webhook was disabled."
            return parcels

    def _due(self, busy: Collection[uuid.UUID]) -> list[tuple[uuid.UUID, int, uuid.UUID]]:
        place = func.row_number().over(
            partition_by=Delivery.webhook_id, order_by=(Delivery.next_at, Delivery.created_at, Delivery.id)
        )
        due = (
            select(Delivery.id, Delivery.attempts, Delivery.organization_id, Delivery.next_at, place.label("place"))
            .where(Delivery.next_at <= now(), Delivery.webhook_id.not_in(busy))
            .subquery()
        )
        first = select(due.c.id, due.c.attempts, due.c.organization_id).where(due.c.place == 1)
        with self._database.read() as db:
            return [
                (each[0], each[1], each[2]) for each in db.execute(first.order_by(due.c.next_at).limit(10 * AT_ONCE))
            ]

    def _parcel(self, delivery: Delivery, webhook: Webhook, happening: Happening, organization: Organization) -> Parcel:
        return Parcel(
            delivery_id=delivery.id,
            attempt=delivery.attempts,
            webhook_id=webhook.id,
            organization_id=webhook.organization_id,
            message_id=str(happening.id),
            url=webhook.url,
            secrets=tuple(signing.unseal(self._keys, webhook.secret)),
            body=json.dumps(payload(self._settings, organization, happening)).encode(),
        )

    # Sending

    async def send(self, parcel: Parcel) -> Outcome:
        if not parcel.secrets:
            return Outcome(None, "The secret cannot be read: LL_SECRET_KEY was changed. Make a new secret.")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                url, ips = await loop.run_in_executor(self._resolvers, self.addresses.check, parcel.url)
                return await self._post(parcel, url, ips)
        except TimeoutError:
            return Outcome(None, f"No answer within {TIMEOUT_SECONDS:.0f} seconds.")
        except RefusedError as error:
            return Outcome(None, str(error))
        except Exception as error:  # ours; the others are not to wait for its end
            log.exception("a webhook cannot be sent", delivery=str(parcel.delivery_id))
            return Outcome(None, f"It could not be sent ({type(error).__name__}).")

    async def _post(self, parcel: Parcel, url: Url, ips: tuple[Ip, ...]) -> Outcome:
        """To the first address that takes it. Without cookies, proxies and redirects: this is the bare transport."""
        import httpx2

        if self._trust is None:  # takes long to make
            self._trust = await asyncio.to_thread(httpx2.create_ssl_context)
        timestamp = int(time.time())
        headers = {
            "Host": url.authority,
            "User-Agent": USER_AGENT,
            "Accept": "*/*",
            "Content-Type": "application/json",
            "webhook-id": parcel.message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signing.signature(parcel.secrets, parcel.message_id, timestamp, parcel.body),
        }
        limits = {"connect": CONNECT_SECONDS, "read": TIMEOUT_SECONDS, "write": TIMEOUT_SECONDS, "pool": None}
        extensions: dict[str, Any] = {"timeout": limits}
        if not url.host.startswith("["):
            extensions["sni_hostname"] = url.host  # the certificate is the name's, wherever we connect to
        problem = ""
        for ip in ips[:MOST_ADDRESSES]:
            request = httpx2.Request("POST", url.at(ip), headers=headers, content=parcel.body, extensions=extensions)
            try:
                async with httpx2.AsyncHTTPTransport(verify=self._trust) as transport:
                    answer = await transport.handle_async_request(request)
                    try:
                        await _skim(answer)
                    finally:
                        await answer.aclose()
                return _judged(answer.status_code)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                problem = f"No connection: {error or 'it takes too long'}."
            except httpx2.HTTPError as error:
                return Outcome(None, f"The connection broke: {error or type(error).__name__}."[:PROBLEM_CHARS])
        return Outcome(None, problem[:PROBLEM_CHARS])

    # Settling

    def settle(self, parcel: Parcel, outcome: Outcome) -> None:
        """Notes how it went, unless another process has taken the delivery meanwhile."""
        delivered = not outcome.problem
        with self._database.write() as db:
            webhook = db.scalar(select(Webhook).where(Webhook.id == parcel.webhook_id).with_for_update(key_share=True))
            if webhook is None:
                return
            given_up = not delivered and parcel.attempt > len(RETRY_SECONDS)
            failures = 0 if delivered else webhook.failures + given_up
            why = ""
            if outcome.status == GONE:
                why = "Its receiver says that it is gone (410)."
            elif failures >= MOST_FAILURES:
                why = f"{failures} deliveries in a row were given up, each after {parcel.attempt} attempts."
            again = None
            if not delivered and not given_up and not why and webhook.enabled:
                seconds = RETRY_SECONDS[parcel.attempt - 1]
                again = ahead(seconds=seconds * random.uniform(1 - JITTER, 1 + JITTER))
            noted = db.execute(
                update(Delivery)
                .where(
                    Delivery.id == parcel.delivery_id,
                    Delivery.attempts == parcel.attempt,
                    Delivery.delivered_at.is_(None),
                )
                .values(
                    status=outcome.status,
                    problem=outcome.problem,
                    next_at=again,
                    delivered_at=now() if delivered else None,
                )
                .execution_options(synchronize_session=False)
            )
            if not cast(CursorResult[Any], noted).rowcount:
                return
            log.info(
                "webhook sent" if delivered else "webhook not sent",
                webhook=str(webhook.id),
                delivery=str(parcel.delivery_id),
                status=outcome.status,
                attempt=parcel.attempt,
            )
            webhook.failures = failures
            if why and webhook.enabled:
                disable(db, webhook, why)


def sender_of(request: Request) -> Sender:
    return cast(Sender, request.app.state.sender)


def payload(settings: Settings, organization: Organization, happening: Happening) -> dict[str, Any]:
    """What is sent of a happening. `id` is the same each time, so that a receiver knows what it has already."""
    return {
        "id": str(happening.id),
        "event": happening.name,
        "created_at": happening.created_at.isoformat(),
        "organization": {"id": str(organization.id), "name": organization.name},
        "data": happening.details,
        "title": happening.title,
        "url": link_of(f"{settings.public_url}/o/{organization.id}", happening.path),
    }


async def _skim(answer: Any) -> None:
    """Lets the receiver say what it wants to say, if it is little and quick. How it answered is known."""
    import httpx2

    seen = 0
    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(BODY_SECONDS):
            async for part in answer.stream:  # as it comes, still packed
                seen += len(part)
                if seen > BODY_BYTES:
                    return


def _judged(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome(status)
    if 300 <= status < 400:
        return Outcome(status, f"The receiver answered {status}. Redirects are not followed: enter the final address.")
    return Outcome(status, f"The receiver answered {status}.")
