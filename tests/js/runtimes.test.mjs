// Runtimes that are not a page: servers, where a process is nobody's; React Native; older browsers.

import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mock, test } from "node:test";
import { pathToFileURL } from "node:url";

import { DIRECTORY, clock, createSessionClient, make, makeTelling, place, useLocalStorage, without } from "./harness.mjs";
import { ADDRESS, Server, answer, refusal, settle, useDocument } from "./server.mjs";

const CREDENTIALS = { username: "ada", password: "x" };
const NAME = `sessions-plus/jwt/${ADDRESS}`;

/** Note what is said on a channel. */
function listenIn() {
  const heard = [];
  mock.method(BroadcastChannel.prototype, "postMessage", function (message) {
    heard.push({ name: this.name, ...message });
  });
  return heard;
}

test("two people in one process of a server stay two people", async () => {
  for (const transport of ["cookie", "bearer", "jwt"]) {
    const servers = [new Server({ clock }), new Server({ clock })];
    servers.forEach((server, at) => {
      server.disclosed = transport === "jwt" ? server.pair() : { token: `token-${at}` };
      server.token = server.disclosed.access ?? server.disclosed.token ?? server.token;
    });
    const clients = servers.map((server) => make(server, { transport, initialSession: null }));
    await clients[0].signIn(CREDENTIALS);
    // Messages between channels take a turn of the real event loop or two.
    for (let turn = 0; turn < 20; turn++) await settle();
    assert.equal(clients[0].session.data?.user.username, "ada");
    assert.equal(clients[1].session.data, null, transport);
    await clients[0].signOut();
  }
});

test("on a server what was rendered starts no timer, and an address without a page breaks nothing", async () => {
  const timers = mock.method(globalThis, "setTimeout", () => 0);
  const intervals = mock.method(globalThis, "setInterval", () => 0);
  const server = new Server({ clock });
  const options = { refetchInterval: 30, onStateChange() {}, fetch: server.fetch };
  const client = createSessionClient({ ...options, initialSession: server.body() });
  client.on("signed-out", () => {});
  await settle();
  assert.equal(client.session.data.user.username, "ada");
  createSessionClient(options);
  await settle();
  assert.deepEqual([timers.mock.callCount(), intervals.mock.callCount(), server.asked()], [0, 0, []]);
});

test("a request to an address without a page says what is missing", async () => {
  const client = createSessionClient({});
  const { error } = await client.getSession();
  client.close();
  assert.equal(error.code, "network_error");
  assert.match(error.detail, /absolute/);
});

test("no token is in a message where all tabs can read the storage", async () => {
  useDocument();
  const items = useLocalStorage();
  const heard = listenIn();
  const server = new Server({ clock });
  server.disclosed = server.pair();
  const client = make(server, { transport: "jwt", storage: "local" });
  await client.signIn(CREDENTIALS);
  await Promise.all([client.refresh(), clock.pass(2)]);
  assert.match(items.get(NAME), /access-2/);
  assert.ok(heard.some(({ type }) => type === "state"));
  assert.doesNotMatch(JSON.stringify(heard), /access-|refresh-/);
});

test("another tab reads the tokens where they are stored, also if the message was faster", async () => {
  useDocument();
  useLocalStorage();
  let hear;
  mock.method(BroadcastChannel.prototype, "postMessage", () => {});
  const server = new Server({ clock });
  server.disclosed = server.pair();
  const told = [];
  const real = Object.getOwnPropertyDescriptor(BroadcastChannel.prototype, "onmessage");
  Object.defineProperty(BroadcastChannel.prototype, "onmessage", { ...real, set: (listener) => (hear = listener) });
  try {
    const other = make(server, { transport: "jwt", storage: "local" });
    other.session.listen(({ data }) => told.push(data?.user.username));
    await settle();
    const data = { session: { id: "session-1" }, user: { id: 7, username: "ada" } };
    hear({ data: { type: "state", data, left: 3_600_000, held: { turn: 5 }, isSignIn: true } });
    await settle();
    assert.equal(other.session.data, null);
    localStorage.setItem(NAME, JSON.stringify({ access: "access-1", refresh: "refresh-1", turn: 5 }));
    await clock.pass(1);
    assert.equal(other.session.data.user.username, "ada");
    await other.listSessions();
    assert.equal(server.requests.at(-1).headers.get("Authorization"), "Bearer access-1");
    // A refresh there is an event here.
    const refreshed = [];
    other.on("token-refreshed", (detail) => refreshed.push(detail.user.username));
    localStorage.setItem(NAME, JSON.stringify({ access: "access-2", refresh: "refresh-2", turn: 6 }));
    hear({ data: { type: "state", data, left: 3_600_000, held: { turn: 6 } } });
    await settle();
    assert.deepEqual(refreshed, ["ada"]);
  } finally {
    Object.defineProperty(BroadcastChannel.prototype, "onmessage", real);
  }
});

test("a session storage is each tab's own, also where it is given as an object: its duplicate is told the tokens", async () => {
  const { Api } = await import(new URL("compat.js", DIRECTORY));
  for (const by of ["client", "Api"]) {
    useDocument();
    const items = useLocalStorage();
    globalThis.sessionStorage = { ...localStorage };
    const heard = listenIn();
    const server = new Server({ clock });
    server.disclosed = server.pair();
    const client =
      by === "client"
        ? make(server, { transport: "jwt", storage: sessionStorage })
        : new Api({ host: "https://site.example", storage: sessionStorage, fetch: server.fetch }).client;
    await client.signIn(CREDENTIALS);
    assert.ok(items.size);
    assert.equal(heard.find(({ type }) => type === "state").held.access, "access-1", by);
    client.close();
    delete globalThis.sessionStorage;
  }
});

test("no token is in a message on a page of another origin than the API's", async () => {
  for (const options of [{ transport: "bearer" }, { transport: "jwt" }, { transport: "jwt", refreshCookie: true }]) {
    useDocument();
    globalThis.origin = "https://page.example";
    const heard = listenIn();
    const server = new Server({ clock });
    server.disclosed = options.transport === "jwt" ? server.pair() : { token: server.token };
    await make(server, options).signIn(CREDENTIALS);
    await settle();
    assert.deepEqual(heard.map(({ type }) => type), ["look"]);
    mock.restoreAll();
  }
});

test("two sites on one domain, and two transports of one site, never talk to each other", async () => {
  useDocument();
  const heard = listenIn();
  const addresses = ["https://site.example/one/auth/", "https://site.example/two/auth/"];
  for (const baseUrl of addresses) {
    for (const transport of ["cookie", "bearer"]) {
      const server = new Server({ clock });
      server.disclosed = { token: server.token };
      const client = make(server, { baseUrl, transport, fetch: (url, init) => server.fetch(url.replace(baseUrl, ADDRESS), init) });
      await client.signIn(CREDENTIALS);
      await settle();
    }
  }
  assert.equal(new Set(heard.map(({ name }) => name)).size, 4);
});

test("an end that another tab tells of is this one's where it is the same session, or nothing is known yet", async () => {
  useDocument();
  const hearing = new Promise((done) => mock.method(BroadcastChannel.prototype, "onmessage", done, { setter: true }));
  const server = new Server({ clock });
  const waiting = [];
  server.answers.session = () => new Promise((done) => waiting.push(() => done(answer(200, server.body()))));
  const client = make(server);
  const hear = await hearing;
  const say = (id) => (hear({ data: { type: "out", id, reason: "revoked" } }), settle());
  const asked = client.getSession();
  await settle();
  await say("session-1");
  // What was asked before is asked again.
  waiting.shift()();
  await settle();
  waiting.shift()();
  assert.equal((await asked).data.user.username, "ada");
  await say("of somebody else");
  assert.equal(client.session.data.user.username, "ada");
  await say("session-1");
  assert.deepEqual([client.session.data, client.told.at(-1)], [null, "signed-out: revoked"]);
});

const MISSING = {
  "EventTarget and CustomEvent": ["EventTarget", "CustomEvent", "Event"],
  "AbortController": ["AbortController", "AbortSignal"],
  "BroadcastChannel": ["BroadcastChannel"],
  "crypto": ["crypto"],
  "all of them": ["EventTarget", "CustomEvent", "Event", "AbortController", "AbortSignal", "BroadcastChannel", "crypto"],
};

for (const [what, names] of Object.entries(MISSING)) {
  test(`it runs without ${what}`, () =>
    without(names, async () => {
      globalThis.window = globalThis;
      const server = new Server({ clock });
      server.disclosed = server.pair();
      const client = make(server, { transport: "jwt", storage: place() });
      assert.equal((await client.signIn(CREDENTIALS)).error, null);
      assert.equal((await Promise.all([client.refresh(), clock.pass(2)]))[0].error, null);
      assert.deepEqual(await client.signOut(), { data: null, error: null });
      assert.deepEqual(client.told, ["signed-in", "signed-out: signed_out"]);
      const { attempt } = JSON.parse(server.requests.find(({ path }) => path === "token/refresh").body);
      assert.equal(attempt === undefined, names.includes("crypto"));
    }));
}

test("no storage is one in memory", async () => {
  const server = new Server({ clock });
  server.disclosed = server.pair();
  const client = make(server, { transport: "jwt", storage: null });
  assert.equal((await client.signIn(CREDENTIALS)).error, null);
  assert.equal((await client.getSession()).data.user.username, "ada");
});

test("with a window and no document, as in React Native, a listener to an event makes the client ask", async () => {
  globalThis.window = globalThis;
  const server = new Server({ clock });
  make(server);
  await clock.pass(1);
  assert.deepEqual(server.asked(), ["GET session"]);
});

test("AbortSignal.timeout is not needed, and requests end all the same", async () => {
  const { timeout } = AbortSignal;
  delete AbortSignal.timeout;
  try {
    const server = new Server({ clock });
    const client = make(server, {
      fetch: (_, { signal }) => new Promise((_, fail) => signal.addEventListener("abort", () => fail(signal.reason))),
    });
    const asked = client.getSession();
    await clock.pass(31);
    assert.equal((await asked).error.code, "network_error");
  } finally {
    AbortSignal.timeout = timeout;
  }
});

test("a storage may be what browsers, AsyncStorage and SecureStore have", async () => {
  const items = useLocalStorage();
  const later = place();
  for (const storage of [localStorage, later]) {
    const server = new Server({ clock });
    server.disclosed = server.pair();
    await make(server, { transport: "jwt", storage }).signIn(CREDENTIALS);
    const reopened = make(server, { transport: "jwt", storage });
    assert.equal((await reopened.getSession()).data.user.username, "ada");
    await reopened.signOut();
  }
  assert.equal(items.size, 0);
  assert.equal(later.kept.text, null);
  // SecureStore takes no other signs in a key.
  for (const key of later.kept.keys) assert.match(key, /^[\w.-]+$/);
});

test("a part that cannot be loaded is a network error, and no rejection that nobody handles", async () => {
  const directory = mkdtempSync(join(tmpdir(), "client-"));
  copyFileSync(new URL("client.js", DIRECTORY), join(directory, "client.js"));
  writeFileSync(join(directory, "package.json"), '{"type": "module"}');
  const alone = await import(pathToFileURL(join(directory, "client.js")));
  const unhandled = [];
  const note = (error) => unhandled.push(error.message);
  process.on("unhandledRejection", note);
  useDocument();
  for (const transport of ["cookie", "jwt"]) {
    const server = new Server({ clock });
    const client = alone.createSessionClient({
      baseUrl: ADDRESS, transport, storage: place(), idleAfter: 60, refetchInterval: 30, fetch: server.fetch,
    });
    client.session.subscribe(() => {});
    const results = [await client.listSessions(), await client.reauthenticate({ password: "x" })];
    if (transport === "jwt") results.push(await client.getSession(), await client.signIn(CREDENTIALS), await client.signOut());
    for (const { error } of results) assert.equal(error.code, "network_error");
    await assert.rejects(client.fetch("https://site.example/api"));
    client.close();
  }
  // Real turns of the event loop: that is when rejections are noticed.
  for (let turn = 0; turn < 20; turn++) await settle();
  process.off("unhandledRejection", note);
  assert.deepEqual(unhandled, []);
});

const PARTS = ["fetch", "idle", "recover", "tabs", "tokens", "verbs", "watch"];

for (const missing of PARTS) {
  test(`without its part ${missing} a client that is used leaves no rejection unhandled`, async () => {
    const directory = mkdtempSync(join(tmpdir(), "client-"));
    for (const part of ["client", ...PARTS]) {
      if (part !== missing) copyFileSync(new URL(`${part}.js`, DIRECTORY), join(directory, `${part}.js`));
    }
    writeFileSync(join(directory, "package.json"), '{"type": "module"}');
    const { createSessionClient: createIn } = await import(pathToFileURL(join(directory, "client.js")));
    const unhandled = [];
    const note = (error) => unhandled.push(error.message);
    process.on("unhandledRejection", note);
    useDocument();
    const server = new Server({ clock });
    server.disclosed = server.pair();
    const options = { baseUrl: ADDRESS, transport: "jwt", storage: place(), idleAfter: 60, fetch: server.fetch };
    const client = createIn(options);
    client.session.subscribe(() => {});
    // Files take as many turns of the real event loop as they need.
    const within = async (asking) => {
      let isOver = false;
      const end = () => (isOver = true);
      asking.then(end, end);
      while (!isOver) await clock.pass(0.01);
      return asking;
    };
    const { error } = await within(client.signIn(CREDENTIALS));
    assert.equal(error?.code, missing === "tokens" ? "network_error" : undefined);
    server.answers.sessions = [() => refusal(401, "token_expired")];
    const listed = await within(client.listSessions());
    const isNeeded = ["recover", "tokens", "verbs"].includes(missing);
    assert.equal(listed.error?.code, isNeeded ? "network_error" : undefined);
    if (missing !== "tokens") assert.equal(client.session.data.user.username, "ada");
    const fetched = within(client.fetch("https://site.example/api"));
    if (["fetch", "tokens"].includes(missing)) await assert.rejects(fetched);
    else assert.equal((await fetched).status, 200);
    client.close();
    for (let turn = 0; turn < 20; turn++) await settle();
    process.off("unhandledRejection", note);
    assert.deepEqual(unhandled, []);
  });
}

test("every error has a detail", async () => {
  const answers = [
    () => Promise.reject(new TypeError("failed")),
    () => answer(502, "<html>"),
    () => answer(500, ""),
    () => answer(400, "null"),
    () => answer(400, { code: "of_its_own" }),
    () => answer(200, {}),
  ];
  for (const respond of answers) {
    const server = new Server({ clock });
    server.answers.session = respond;
    const { error } = await make(server).getSession();
    assert.match(error.detail, /\w{3}/, JSON.stringify(error));
  }
});

test("the first event tells who is signed in, or that nobody is, also whoever listens late", async () => {
  for (const isSignedIn of [true, false]) {
    const server = new Server({ clock });
    if (!isSignedIn) server.end();
    const client = makeTelling(server);
    await client.getSession();
    assert.deepEqual(client.told, ["initial-session"]);
    const late = [];
    client.on("initial-session", (data) => late.push(data?.user.username));
    await settle();
    assert.deepEqual(late, [isSignedIn ? "ada" : undefined]);
  }
});
