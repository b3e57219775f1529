// What a client asks by itself, from when on, and how often.

import assert from "node:assert/strict";
import { test } from "node:test";

import { clock, make, makeTelling, place, useLocalStorage } from "./harness.mjs";
import { Server, settle, useDocument } from "./server.mjs";

const CREDENTIALS = { username: "ada", password: "x" };

/** A page whose events the test makes happen: `heard.focus()`. */
function usePage() {
  const page = useDocument();
  const heard = {};
  page.addEventListener = (type, listener) => (heard[type] = listener);
  globalThis.addEventListener = (type, listener) => (heard[type] = listener);
  globalThis.removeEventListener = () => {};
  return heard;
}

test("onStateChange alone makes the client ask", async () => {
  usePage();
  const server = new Server({ clock });
  const states = [];
  make(server, { onStateChange: ({ data, isPending }) => states.push([data?.user.username, isPending]) }, []);
  await clock.pass(1);
  assert.deepEqual(server.asked(), ["GET session"]);
  assert.deepEqual(states.at(-1), ["ada", false]);
});

test("a listener to an event makes the client ask, but not beside a verb", async () => {
  usePage();
  for (const verb of [null, "getSession", "signIn"]) {
    const server = new Server({ clock });
    const client = make(server);
    if (verb) await client[verb](CREDENTIALS);
    await clock.pass(1);
    const asked = server.asked().filter((each) => each !== "GET session" || verb !== "signIn");
    assert.equal(asked.length, 1, verb);
    assert.equal(client.session.isPending, false);
  }
});

for (const begin of ["signIn", "subscriber", "rendered"]) {
  test(`looks in an interval and at the focus begin by ${begin}`, async () => {
    const heard = usePage();
    const server = new Server({ clock, age: 90_000 });
    const initialSession = begin === "rendered" ? server.body() : undefined;
    const client = make(server, { refetchInterval: 30, initialSession }, []);
    if (begin === "signIn") await client.signIn(CREDENTIALS);
    if (begin === "subscriber") client.session.subscribe(() => {});
    await settle();
    server.requests.length = 0;
    await clock.pass(31);
    assert.deepEqual(server.asked(), ["GET session"]);
    await clock.pass(10);
    heard.focus();
    await settle();
    assert.deepEqual(server.asked(), ["GET session", "GET session"]);
  });
}

test("a look within five seconds of the last is put off, not dropped", async () => {
  const heard = usePage();
  const server = new Server({ clock });
  const client = make(server);
  await client.getSession();
  server.end("revoked");
  await clock.pass(1);
  heard.focus();
  heard.visibilitychange();
  await clock.pass(3);
  assert.equal(server.asked().length, 1);
  await clock.pass(2);
  assert.deepEqual(client.told, ["signed-out: revoked"]);
});

test("one return of the person is one look", async () => {
  const heard = usePage();
  const server = new Server({ clock });
  await make(server).getSession();
  await clock.pass(10);
  server.requests.length = 0;
  heard.visibilitychange();
  heard.focus();
  await clock.pass(10);
  assert.deepEqual(server.asked(), ["GET session"]);
});

test("a page out of the browser's cache asks again at once, any other does not", async () => {
  const heard = usePage();
  const server = new Server({ clock });
  const client = make(server, { refetchOnWindowFocus: false });
  await client.getSession();
  heard.pageshow({ persisted: false });
  await settle();
  assert.equal(server.asked().length, 1);
  server.end();
  heard.pageshow({ persisted: true });
  await clock.pass(2);
  assert.equal(client.session.data, null);
});

test("a page out of the cache reads the tokens that were stored while it was away", async () => {
  const heard = usePage();
  const server = new Server({ clock });
  const storage = place();
  const client = make(server, { transport: "bearer", storage });
  await client.getSession();
  assert.equal(client.session.data, null);
  storage.kept.text = JSON.stringify({ access: server.token, turn: 9 });
  heard.pageshow({ persisted: true });
  await clock.pass(1);
  assert.equal(client.session.data.user.username, "ada");
});

test("who is signed out is not refused anything when a page loads", async () => {
  usePage();
  useLocalStorage();
  const server = new Server({ clock });
  server.end();
  const client = make(server, { transport: "jwt" });
  assert.deepEqual(await client.getSession(), { data: null, error: null });
  assert.deepEqual(server.asked(), ["GET session"]);
});

test("a refresh cookie is used where the server has seen one", async () => {
  usePage();
  const items = useLocalStorage();
  const server = new Server({ clock });
  server.takesCookies = false;
  server.hasRefreshCookie = true;
  document.cookie = "csrftoken=one";
  const client = make(server, { transport: "jwt" });
  assert.equal((await client.getSession()).data.user.username, "ada");
  assert.deepEqual(server.asked(), ["GET session", "POST token/refresh", "GET session"]);
  await Promise.all([client.refresh(), clock.pass(2)]);
  assert.deepEqual(server.asked().slice(3), ["POST token/refresh", "GET session"]);
  assert.equal(items.size, 0);
});

test("new tokens are an event, in which they are not", async () => {
  const server = new Server({ clock });
  server.disclosed = server.pair();
  const client = makeTelling(server, { transport: "jwt", storage: place() });
  const details = [];
  client.on("token-refreshed", (detail) => details.push(JSON.stringify(detail)));
  await client.signIn(CREDENTIALS);
  assert.deepEqual(client.told, ["initial-session", "signed-in"]);
  await Promise.all([client.refresh(), clock.pass(2)]);
  assert.deepEqual(client.told.slice(2), ["token-refreshed"]);
  assert.doesNotMatch(details.join(), /access-|refresh-/);
});
