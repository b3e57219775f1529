// Signing in and out, and fetch in the name of the session: what is sent, how often, and what comes of failures.

import assert from "node:assert/strict";
import { test } from "node:test";

import { clock, make, place, useLocalStorage, withTokens } from "./harness.mjs";
import { Server, answer, refusal, settle, useDocument } from "./server.mjs";

const CREDENTIALS = { username: "ada", password: "x" };
const THINGS = "https://site.example/api/things";

// A double click

for (const transport of ["cookie", "bearer", "jwt"]) {
  test(`a double click signs in once, by ${transport}`, async () => {
    const [server, client] = withTokens(transport);
    const results = await Promise.all([client.signIn({ ...CREDENTIALS }), client.auth.signIn({ ...CREDENTIALS })]);
    assert.equal(server.asked().filter((each) => each === "POST sign-in").length, 1);
    assert.deepEqual(results[0], results[1]);
    const other = client.signIn({ username: "bob", password: "y" });
    await Promise.all([client.signIn(CREDENTIALS), other]);
    assert.equal(server.asked().filter((each) => each === "POST sign-in").length, 3);
    await Promise.all([client.reauthenticate({ password: "x" }), client.reauthenticate({ password: "x" })]);
    assert.equal(server.asked().filter((each) => each === "POST reauthenticate").length, 1);
  });

  test(`a local sign-out needs no network and leaves nothing, by ${transport}`, async () => {
    const [server, client] = withTokens(transport);
    await client.signIn(CREDENTIALS);
    server.requests.length = 0;
    let fail;
    server.answers["sign-out"] = () => new Promise((_, reject) => (fail = reject));
    assert.deepEqual(await client.signOut({ local: true }), { data: null, error: null });
    assert.equal(client.session.data, null);
    assert.deepEqual(client.told, ["signed-in", "signed-out: signed_out"]);
    // The server is told where it can be.
    await settle();
    assert.deepEqual(server.asked().filter((each) => each.startsWith("POST")), ["POST sign-out"]);
    fail(new TypeError("offline"));
    await settle();
    if (transport !== "cookie") assert.deepEqual(await client.getSession(), { data: null, error: null });
  });
}

test("a local sign-out clears the storage, with the server away", async () => {
  const storage = place();
  const server = new Server({ clock });
  server.disclosed = server.pair();
  const client = make(server, { transport: "jwt", storage });
  await client.signIn(CREDENTIALS);
  assert.ok(storage.kept.text);
  await client.signOut({ local: true });
  assert.equal(storage.kept.text, null);
});

test("a local sign-out by cookie holds until the server can be told", async () => {
  useDocument({ cookie: "csrftoken=one" });
  const items = useLocalStorage();
  const server = new Server({ clock });
  const options = {};
  const client = make(server, options);
  await client.signIn(CREDENTIALS);
  const away = () => Promise.reject(new TypeError("offline"));
  server.answers["sign-out"] = away;
  await client.signOut({ local: true });
  await settle();
  assert.equal((await client.getSession()).data, null);
  client.close();
  const reopened = make(server, options);
  assert.equal((await reopened.getSession()).data, null);
  server.answers["sign-out"] = () => void server.end();
  await reopened.getSession();
  assert.equal(server.isSignedIn, false);
  assert.equal(items.size, 0);
});

test("a local sign-out holds on a page that the server has rendered for the person, and is sent again", async () => {
  useDocument({ cookie: "csrftoken=one" });
  useLocalStorage();
  const server = new Server({ clock });
  const client = make(server);
  await client.signIn(CREDENTIALS);
  server.answers["sign-out"] = () => Promise.reject(new TypeError("offline"));
  await client.signOut({ local: true });
  await settle();
  client.close();
  server.answers["sign-out"] = () => void server.end();
  const rendered = make(server, { initialSession: server.body() });
  assert.equal(rendered.session.data, null);
  await clock.pass(1);
  assert.deepEqual([rendered.session.data, rendered.session.isPending, server.isSignedIn], [null, false, false]);
});

test("tabs that are signed out and cannot tell the server do not make each other ask for ever", async () => {
  useDocument({ cookie: "csrftoken=one" });
  useLocalStorage();
  const server = new Server({ clock });
  const tabs = [make(server), make(server)];
  await tabs[0].signIn(CREDENTIALS);
  for (let turn = 0; turn < 20; turn++) await settle();
  server.answers["sign-out"] = () => answer(503, "<html>");
  await tabs[0].signOut({ local: true });
  for (let turn = 0; turn < 20; turn++) await settle();
  server.requests.length = 0;
  await tabs[1].getSession();
  for (let turn = 0; turn < 50; turn++) await settle();
  assert.deepEqual(server.asked(), ["GET session", "POST sign-out"]);
});

test("a local sign-out ends the session also when the access token has expired", async () => {
  for (const options of [{}, { storage: "memory", refreshCookie: true }]) {
    useDocument({ cookie: "csrftoken=one" });
    const items = useLocalStorage();
    const [server, client] = withTokens("jwt", options);
    await client.signIn(CREDENTIALS);
    const expired = server.token;
    server.answers["sign-out"] = ({ headers }) =>
      headers.get("Authorization") === `Bearer ${expired}` ? refusal(401, "token_expired") : void server.end();
    await client.signOut({ local: true });
    await settle();
    assert.equal(server.isSignedIn, false);
    const last = server.requests.at(-1);
    // By a cookie that alone is enough; without one the token that was there is renewed.
    assert.equal(last.headers.get("Authorization"), options.refreshCookie ? null : `Bearer ${server.token}`);
    assert.equal(last.headers.get("X-CSRFToken"), options.refreshCookie ? "one" : null);
    assert.equal(items.size, 0);
    client.close();
  }
});

test("a local sign-out that the server cannot be told of is noted, also with an expired access token", async () => {
  useDocument({ cookie: "csrftoken=one" });
  const items = useLocalStorage();
  const [server, client] = withTokens("jwt", { storage: "memory", refreshCookie: true });
  await client.signIn(CREDENTIALS);
  server.answers["sign-out"] = [() => refusal(401, "token_expired"), () => answer(503, "<html>")];
  await client.signOut({ local: true });
  await settle();
  assert.equal(items.size, 1);
});

test("what is noted of a local sign-out is that sign-in, and no later one of the same session", async () => {
  useDocument({ cookie: "csrftoken=one" });
  useLocalStorage();
  const server = new Server({ clock });
  const bodyOf = (since) => ({ user: server.body().user, session: { ...server.body().session, authenticated_at: since } });
  let since = "2026-01-05T09:00:00Z";
  server.answers.session = () => answer(200, bodyOf(since));
  server.answers["sign-out"] = () => Promise.reject(new TypeError("offline"));
  const client = make(server);
  await client.getSession();
  await client.signOut({ local: true });
  assert.equal((await client.getSession()).data, null);
  since = "2026-01-05T10:00:00Z";
  assert.equal((await client.getSession()).data.user.username, "ada");
});

test("a local sign-out of a session that is over already leaves no note", async () => {
  useDocument({ cookie: "csrftoken=one" });
  const items = useLocalStorage();
  const server = new Server({ clock });
  const client = make(server);
  await client.signIn(CREDENTIALS);
  server.answers["sign-out"] = () => refusal(401, "session_ended");
  await client.signOut({ local: true });
  await settle();
  assert.equal(items.size, 0);
});

test("an answer that comes after the sign-out is dropped", async () => {
  const server = new Server({ clock });
  const client = make(server);
  await client.signIn(CREDENTIALS);
  let respond;
  server.answers.session = [() => new Promise((done) => (respond = done))];
  const late = answer(200, server.body());
  const asked = client.getSession();
  await settle();
  await client.signOut({ local: true });
  respond(late);
  assert.deepEqual(await asked, { data: null, error: null });
  assert.equal(client.session.data, null);
});

// Where requests go, and with what

test("cookies are sent where they have to be, and nowhere else", async () => {
  const cases = [
    [{}, "https://site.example", "same-origin"],
    [{}, "https://page.example", "include"],
    [{ transport: "bearer" }, "https://site.example", "omit"],
    [{ transport: "jwt" }, "https://site.example", "same-origin"],
    [{ transport: "jwt" }, "https://page.example", "omit"],
    [{ transport: "jwt", refreshCookie: true }, "https://page.example", "include"],
    [{ credentials: "omit" }, "https://page.example", "omit"],
  ];
  for (const [options, origin, expected] of cases) {
    useDocument({ cookie: "csrftoken=one" });
    globalThis.origin = origin;
    const server = new Server({ clock });
    server.disclosed = options.transport === "jwt" ? server.pair() : { token: server.token };
    const client = make(server, options);
    await client.signIn(CREDENTIALS);
    await client.fetch(THINGS);
    const sent = server.requests.filter(({ path }) => /sign-in|things/.test(path)).map(({ credentials }) => credentials);
    assert.deepEqual(sent, [expected, expected], JSON.stringify([options, origin]));
    const { refresh_cookie: asked } = JSON.parse(server.requests.find(({ path }) => path === "sign-in").body);
    assert.equal(!!asked, options.transport === "jwt" && expected !== "omit");
  }
});

test("no verb follows a redirect, which would take password and tokens along", async () => {
  for (const transport of ["cookie", "bearer"]) {
    const server = new Server({ clock });
    server.disclosed = { token: server.token };
    const redirects = [];
    const fetch = (address, init) => (redirects.push(init.redirect), server.fetch(address, init));
    const client = make(server, { transport, storage: place(), fetch });
    await client.signIn(CREDENTIALS);
    await client.getSession();
    await client.signOut();
    assert.deepEqual([...new Set(redirects)], ["error"]);
  }
});

test("a request says itself which cookies it wants", async () => {
  useDocument();
  globalThis.origin = "https://page.example";
  const server = new Server({ clock });
  const client = make(server);
  await client.fetch(THINGS, { credentials: "omit" });
  await client.fetch(new Request(THINGS, { credentials: "omit" }));
  await client.fetch(new Request(THINGS));
  await client.fetch("https://other.example/");
  const credentials = server.requests.map((sent) => sent.credentials);
  assert.deepEqual(credentials, ["omit", "omit", "include", "same-origin"]);
});

test("where there is no answer from another origin the error names what may be the reason", async () => {
  useDocument();
  globalThis.origin = "https://page.example";
  const client = make(new Server({ clock }), { fetch: () => Promise.reject(new TypeError("failed")) });
  assert.match((await client.getSession()).error.detail, /https:\/\/site\.example.*CORS/);
});

test("at another origin the CSRF token is the one that origin has told", async () => {
  useDocument({ cookie: "csrftoken=of-the-page" });
  globalThis.origin = "https://page.example";
  const server = new Server({ clock });
  server.answers.session = () => answer(200, server.body(), { "X-CSRFToken": "told" });
  const client = make(server);
  await client.getSession();
  await client.revokeOtherSessions();
  assert.equal(server.requests.at(-1).headers.get("X-CSRFToken"), "told");
});

test("the CSRF token of the page's own site goes to no other origin", async () => {
  for (const by of ["verb", "fetch"]) {
    useDocument({ cookie: "csrftoken=of-the-page" });
    globalThis.origin = "https://page.example";
    const server = new Server({ clock });
    server.answers.session = () => answer(200, server.body(), { "X-CSRFToken": "told" });
    const client = make(server);
    if (by === "verb") await client.signIn(CREDENTIALS);
    else await client.fetch(THINGS, { method: "POST" });
    const sent = server.requests.map(({ headers }) => headers.get("X-CSRFToken"));
    assert.deepEqual(sent, [null, "told"], by);
  }
});

// fetch

const CSRF = {
  "the API's": () => refusal(403, "csrf_failed"),
  "REST framework's": () => answer(403, { detail: "CSRF Failed: CSRF token missing." }),
  "Django's": () => answer(403, "<h1>Forbidden</h1><p>CSRF verification failed. Request aborted.</p>"),
};

for (const [whose, respond] of Object.entries(CSRF)) {
  test(`fetch has a new CSRF token told after ${whose} refusal, once`, async () => {
    const page = useDocument({ cookie: "csrftoken=old" });
    const server = new Server({ clock });
    server.answers.session = () => void (page.cookie = "csrftoken=new");
    server.answers["/api/things"] = [respond, () => answer(201, {})];
    const client = make(server);
    const init = { method: "POST", body: "the body" };
    assert.equal((await client.fetch(THINGS, init)).status, 201);
    const sent = server.requests.filter(({ path }) => path === "/api/things");
    assert.deepEqual(sent.map(({ headers }) => headers.get("X-CSRFToken")), ["old", "new"]);
    assert.deepEqual(sent.map(({ body }) => body), ["the body", "the body"]);
    server.requests.length = 0;
    server.answers["/api/things"] = respond;
    const last = await client.fetch(THINGS, init);
    assert.equal(last.status, 403);
    assert.match(await last.text(), /csrf/i);
    assert.deepEqual(server.asked(), ["POST /api/things", "GET session"]);
  });
}

test("fetch leaves alone a 403 that is about something else, and one for an answer to a safe method", async () => {
  useDocument({ cookie: "csrftoken=one" });
  const server = new Server({ clock });
  server.answers["/api/things"] = () => refusal(403, "permission_denied");
  const client = make(server);
  await client.fetch(THINGS, { method: "POST" });
  server.answers["/api/things"] = () => refusal(403, "csrf_failed");
  await client.fetch(THINGS);
  assert.deepEqual(server.asked(), ["POST /api/things", "GET /api/things"]);
});

test("the reason that fetch is told is kept", async () => {
  for (const transport of ["cookie", "bearer"]) {
    const [server, client] = withTokens(transport);
    await client.signIn(CREDENTIALS);
    server.isSignedIn = false;
    server.answers["/api/things"] = () => refusal(401, "session_ended", { reason: "revoked" });
    const [response] = await Promise.all([client.fetch(THINGS), clock.pass(2)]);
    assert.equal(response.status, 401);
    assert.deepEqual(client.told.at(-1), "signed-out: revoked", transport);
  }
});

test("a refresh that is down is a network error, and sends no request without a token", async () => {
  const [server, client] = withTokens("jwt");
  await client.signIn(CREDENTIALS);
  server.answers["token/refresh"] = () => answer(503, "<html>");
  // Before the request, and after it was refused.
  server.answers["/api/things"] = () => refusal(401, "token_expired");
  await assert.rejects(Promise.all([client.fetch(THINGS), clock.pass(2)]), ({ name, message, cause }) => {
    assert.deepEqual([name, cause.status, cause.code], ["TypeError", 503, "unexpected_answer"]);
    return /\w/.test(message);
  });
  assert.equal(client.session.data.user.username, "ada");
  server.hasRefreshCookie = true;
  const reopened = make(server, { transport: "jwt", refreshCookie: true });
  server.requests.length = 0;
  await assert.rejects(Promise.all([reopened.fetch(THINGS), clock.pass(2)]), TypeError);
  assert.ok(server.asked().includes("POST token/refresh"));
  assert.ok(!server.asked().includes("GET /api/things"));
});

test("who is signed out can fetch what is for everybody", async () => {
  const [server, client] = withTokens("jwt");
  assert.equal((await client.fetch(THINGS)).status, 200);
  assert.deepEqual(server.asked(), ["GET /api/things"]);
});

test("fetch sends a body to another origin as well", async () => {
  const server = new Server({ clock });
  const address = "https://other.example/";
  await make(server).fetch(new Request(address, { method: "POST", body: "the body" }));
  const body = new ReadableStream({ start: (stream) => (stream.enqueue(new TextEncoder().encode("a stream")), stream.close()) });
  await make(server).fetch(address, { method: "POST", body, duplex: "half" });
  assert.deepEqual(server.requests.map((sent) => sent.body), ["the body", "a stream"]);
});

test("what another origin answers to a redirected request is not believed", async () => {
  const fromElsewhere = (response) => Object.defineProperty(response, "url", { value: "https://other.example/" });
  const [server, client] = withTokens("bearer");
  await client.signIn(CREDENTIALS);
  server.answers["/go"] = [
    () => fromElsewhere(answer(200, {}, { "Session-Token": "foreign" })),
    () => fromElsewhere(refusal(401, "session_ended", { reason: "suspicious" })),
  ];
  for (let time = 0; time < 2; time++) await Promise.all([client.fetch("https://site.example/go"), clock.pass(1)]);
  assert.deepEqual(server.asked().slice(1), ["GET /go", "GET /go"]);
  server.requests.length = 0;
  assert.equal((await client.getSession()).data.user.username, "ada");
  assert.deepEqual(server.requests.map(({ headers }) => headers.get("Authorization")), ["Bearer token-1"]);
  server.end();
  await Promise.all([client.getSession(), clock.pass(2)]);
  assert.deepEqual(client.told.at(-1), "signed-out: session_ended");
});

// Tokens for others, and giving up

test("the access token for others is one that is good now", async () => {
  const [server, client] = withTokens("jwt");
  assert.equal(await client.accessToken(), null);
  await client.signIn(CREDENTIALS);
  assert.equal(await client.accessToken(), "access-1");
  await clock.pass(899);
  assert.deepEqual((await Promise.all([client.accessToken(), clock.pass(2)]))[0], "access-2");
  const bearer = withTokens("bearer")[1];
  await bearer.signIn(CREDENTIALS);
  assert.equal(await bearer.accessToken(), "token-1");
  const cookie = make(server);
  await cookie.signIn(CREDENTIALS);
  assert.equal(await cookie.accessToken(), null);
});

test("every verb can be given up, before and while it is waited for", async () => {
  const server = new Server({ clock });
  const never = () => new Promise(() => {});
  for (const path of ["session", "sign-in", "sign-out", "sessions", "sessions/1", "sessions/revoke", "reauthenticate"]) {
    server.answers[path] = never;
  }
  const client = make(server);
  const verbs = {
    getSession: [], signIn: [CREDENTIALS], signOut: [], listSessions: [null], revokeSession: ["1"], revokeOtherSessions: [],
    revokeSessions: [], reauthenticate: [{ password: "x" }], refresh: [],
  };
  for (const [verb, given] of Object.entries(verbs)) {
    for (const isBefore of [true, false]) {
      const stop = new AbortController();
      if (isBefore) stop.abort();
      const asked = client[verb](...given, { signal: stop.signal });
      await settle();
      stop.abort();
      const { data, error } = await asked;
      assert.deepEqual([data, error.code, error.status], [null, "aborted", 0], verb);
    }
  }
  assert.deepEqual(Object.keys(verbs).sort(), Object.keys(client.auth).filter((each) => !/fetch|access/.test(each)).sort());
});
