"""Whatever threads or tasks do at once, there is one sign-in and one refresh."""

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import httpx
import pytest

from django_sessions_plus.client import SessionAuth, SignInError, Tokens, UnavailableError
from tests.client.conftest import BASE, PASSWORD, THINGS, Program, Server, Wire, refused

MANY = 20


def statuses(answers):
    return [getattr(answer, "status_code", type(answer)) for answer in answers]


class Gate(Server):
    """Answers the first request of each thread for a thing when all of them have arrived."""

    def __init__(self, count):
        super().__init__()
        self.barrier = threading.Barrier(count, timeout=30)
        self.arrived = threading.local()

    def usual(self, request):
        if request.url.path == "/things" and not hasattr(self.arrived, "yes"):
            self.arrived.yes = True
            self.barrier.wait()
        return super().usual(request)


class AsyncGate(Wire):
    """The same for tasks: nothing is answered while others have yet to ask."""

    def __init__(self, server, count):
        super().__init__(server)
        self.waiting = count
        self.all_here = asyncio.Event()

    async def handle_async_request(self, request):
        if request.url.path == "/things" and not self.all_here.is_set():
            self.waiting -= 1
            if not self.waiting:
                self.all_here.set()
            await self.all_here.wait()
        return await super().handle_async_request(request)


def test_threads_that_are_all_refused_share_one_refresh():
    server = Gate(MANY)
    running = Program(server, tokens=Tokens("expired", "refresh-0"))
    assert statuses(running.send_many(MANY)) == [200] * MANY
    assert server.paths.count("token/refresh") == 1
    assert server.paths.count("things") == 2 * MANY


def test_tasks_that_are_all_refused_share_one_refresh():
    async def story():
        server = Server()
        asking = httpx.AsyncClient(transport=Wire(server))
        auth = SessionAuth.from_tokens(BASE, Tokens("expired", "refresh-0"), async_client=asking)
        async with httpx.AsyncClient(transport=AsyncGate(server, MANY), auth=auth) as client:
            answers = await asyncio.gather(*(client.get(THINGS) for _ in range(MANY)))
        return server, answers

    server, answers = asyncio.run(story())
    assert statuses(answers) == [200] * MANY
    assert server.paths.count("token/refresh") == 1
    assert server.paths.count("things") == 2 * MANY


def test_first_requests_that_come_at_once_share_one_sign_in(program, server):
    assert statuses(program().send_many(MANY)) == [200] * MANY
    assert server.paths.count("sign-in") == 1


def test_an_early_refresh_is_one_for_all(program, server, ticks):
    running = program()
    running.send()
    ticks.now += 880
    assert statuses(running.send_many(MANY)) == [200] * MANY
    assert server.paths.count("token/refresh") == 1


def test_the_end_of_a_session_is_one_sign_in_for_all():
    server = Gate(MANY)
    server.code = "session_ended"
    running = Program(server, tokens=Tokens("gone", "gone"), username="ada", password=PASSWORD)
    assert statuses(running.send_many(MANY)) == [200] * MANY
    assert server.paths.count("sign-in") == 1


class Waiters:
    """Counts the threads that wait for a lock, and lets its holder wait for them."""

    def __init__(self, count):
        self.lock = threading.Lock()
        self.missing = count
        self.all_wait = threading.Event()
        self.counting = threading.Lock()

    def __enter__(self):
        with self.counting:
            self.missing -= 1
            if not self.missing:
                self.all_wait.set()
        self.lock.acquire()

    def __exit__(self, *exc_info):
        self.lock.release()


@pytest.mark.parametrize(
    ("answer", "error", "lost"),
    [
        (httpx.ReadTimeout("lost"), UnavailableError, 2),
        (httpx.Response(503, headers={"Retry-After": "7"}), UnavailableError, 1),
        (refused("session_ended"), SignInError, 1),
    ],
)
def test_threads_that_waited_for_an_attempt_share_its_failure(answer, error, lost):
    server = Server()
    running = Program(server, tokens=Tokens(refresh="refresh-0"))
    waiters = Waiters(MANY)
    running.auth._runner.lock = waiters

    def slow(request):
        assert waiters.all_wait.wait(30)
        if isinstance(answer, Exception):
            raise answer
        return answer

    server.next["/auth/token/refresh"] = [slow] * MANY * 2
    answers = running.send_many(MANY)
    assert {type(each) for each in answers} == {error}
    assert server.paths == ["token/refresh"] * lost
    # Each has an error of its own: one that is raised in many threads grows by their frames.
    assert len({id(each) for each in answers}) == MANY
    if isinstance(answer, httpx.Response) and error is UnavailableError:
        assert {each.retry_after for each in answers} == {7.0}
    if error is UnavailableError:
        server.next.clear()
        assert running.send().status_code == 200


def test_tasks_that_waited_for_an_attempt_share_its_failure():
    class Slow(Wire):
        async def handle_async_request(self, request):
            for _ in range(10):
                await asyncio.sleep(0)
            return await super().handle_async_request(request)

    async def story():
        server = Server()
        server.next["/auth/token/refresh"] = [httpx.Response(503)] * MANY
        asking = httpx.AsyncClient(transport=Slow(server))
        auth = SessionAuth.from_tokens(BASE, Tokens(refresh="refresh-0"), async_client=asking)
        async with httpx.AsyncClient(transport=Wire(server), auth=auth) as client:
            sending = (client.get(THINGS) for _ in range(MANY))
            return server, await asyncio.gather(*sending, return_exceptions=True)

    server, answers = asyncio.run(story())
    assert {type(each) for each in answers} == {UnavailableError}
    assert server.paths == ["token/refresh"]


class Held(Wire):
    """Holds the answer to a request for tokens back until it is let go."""

    def __init__(self, server):
        super().__init__(server)
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def handle_async_request(self, request):
        answer = await super().handle_async_request(request)
        self.asked.set()
        await self.go_on.wait()
        return answer


@pytest.mark.parametrize("stored", [Tokens(refresh="refresh-0"), None])
def test_what_a_cancelled_task_asked_for_is_kept_for_the_others(stored):
    """The server has rotated by then: whoever let go of the answer would have lost the session."""
    told = []

    async def story():
        server = Server()
        wire = Held(server)
        options = {"async_client": httpx.AsyncClient(transport=wire), "on_tokens": told.append}
        if stored is None:
            auth = SessionAuth(BASE, "ada", PASSWORD, **options)
        else:
            auth = SessionAuth.from_tokens(BASE, stored, **options)
        async with httpx.AsyncClient(transport=Wire(server), auth=auth) as client:
            first = asyncio.create_task(client.get(THINGS))
            await wire.asked.wait()
            second = asyncio.create_task(client.get(THINGS))
            await asyncio.sleep(0)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            wire.go_on.set()
            answers = [await second, await client.get(THINGS)]
        return server, answers

    server, answers = asyncio.run(story())
    assert statuses(answers) == [200, 200]
    assert server.paths == ["sign-in" if stored is None else "token/refresh", "things", "things"]
    assert [tokens.access for tokens in told if not tokens.attempt] == ["access-1"]


async def give_up_by_asyncio(sending):
    async with asyncio.timeout(0):
        await sending


async def give_up_by_anyio(sending):
    with anyio.fail_after(0):
        await sending


@pytest.mark.parametrize("give_up", [give_up_by_asyncio, give_up_by_anyio])
def test_a_successor_is_kept_when_the_only_task_is_cancelled(give_up):
    async def story():
        server = Server()
        wire = Held(server)
        asking = httpx.AsyncClient(transport=wire)
        auth = SessionAuth.from_tokens(BASE, Tokens(refresh="refresh-0"), async_client=asking)
        async with httpx.AsyncClient(transport=Wire(server), auth=auth) as client:
            with pytest.raises(TimeoutError):
                await give_up(client.get(THINGS))
            await wire.asked.wait()
            wire.go_on.set()
            return server, await client.get(THINGS)

    server, answer = asyncio.run(story())
    assert answer.status_code == 200
    assert server.paths == ["token/refresh", "things"]


def test_a_failure_that_nobody_waits_for_is_no_noise(caplog):
    async def story():
        server = Server()
        server.next["/auth/token/refresh"] = [httpx.Response(503)]
        wire = Held(server)
        asking = httpx.AsyncClient(transport=wire)
        auth = SessionAuth.from_tokens(BASE, Tokens(refresh="refresh-0"), async_client=asking)
        async with httpx.AsyncClient(transport=Wire(server), auth=auth) as client:
            task = asyncio.create_task(client.get(THINGS))
            await wire.asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            wire.go_on.set()
            (driving,) = auth._runner.running
            await driving
            del driving, task
            gc.collect()
            assert auth._runner.running == set()
            return await client.get(THINGS)

    assert asyncio.run(story()).status_code == 200
    assert caplog.records == []


def test_a_cancelled_sign_out_is_still_a_sign_out():
    async def story():
        server = Server()
        wire = Held(server)
        asking = httpx.AsyncClient(transport=wire)
        auth = SessionAuth.from_tokens(BASE, Tokens(refresh="refresh-0"), async_client=asking)
        task = asyncio.create_task(auth.asign_out())
        await wire.asked.wait()
        task.cancel()
        wire.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with httpx.AsyncClient(transport=Wire(server), auth=auth) as client:
            with pytest.raises(SignInError, match="signed_out"):
                await client.get(THINGS)
        return server

    assert asyncio.run(story()).paths == ["token/refresh", "sign-out"]


def test_who_comes_too_late_uses_what_the_others_got(program, server):
    running = program()
    running.send()
    held = running.auth._manager.held
    server.expire()
    running.send()
    assert running.auth._manager.usable(held) is running.auth._manager.held


def test_what_was_said_of_other_tokens_is_not_said_of_these():
    """A thread was refused, and while it waited another signed in anew, with tokens due for a refresh."""
    server = Server()
    running = Program(server, tokens=Tokens("first", "refresh-0"))
    refused_tokens = running.auth._manager.held
    running.auth._manager.held = type(refused_tokens)(Tokens("second", "refresh-1"), due_at=0.0)
    request = httpx.Request("GET", THINGS)
    held = running.auth._ready(request, refused_tokens, "session_ended")
    assert server.paths == ["token/refresh"]
    assert held.tokens.access == "access-1"


def test_threads_and_tasks_may_share_one_object():
    server = Server()
    running = Program(server)

    def in_a_loop(_):
        async def get():
            async with httpx.AsyncClient(transport=Wire(server), auth=running.auth) as client:
                return await client.get(THINGS)

        return asyncio.run(get())

    running.send()
    with ThreadPoolExecutor(8) as pool:
        tasks = pool.map(in_a_loop, range(8))
        threads = running.send_many(8)
        assert statuses(threads) + statuses(tasks) == [200] * 16
