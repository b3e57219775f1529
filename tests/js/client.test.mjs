import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { gzipSync } from "node:zlib";
import { copyFileSync, mkdirSync, readFileSync, readdirSync } from "node:fs";

import { DIRECTORY, clock, make, place, withTokens } from "./harness.mjs";
import { ADDRESS, Server, USER, answer, refusal, settle, useDocument } from "./server.mjs";

// What comes in

test("the core is below six kilobytes as it is served", () => {
  const files = readdirSync(DIRECTORY).filter((file) => file.endsWith(".js"));
  const size = (file) => gzipSync(readFileSync(new URL(file, DIRECTORY)), { level: 9 }).length;
  for (const file of files) console.log(`${file}: ${size(file)} bytes gzipped`);
  assert.ok(size("client.js") < 6000);
  assert.ok(size("tokens.js") < 2800);
});

test("the snippet of other libraries runs unchanged", async () => {
  const client = make(new Server({ clock }));
  const { data } = await client.auth.getSession();
  assert.equal(data.user.username, "ada");
  assert.equal(data.session.expiresAt, "2026-01-05T10:00:05.000Z");
  assert.equal(data.session.isCurrent, true);
  assert.equal(data.session.device.label, "Firefox on Linux");
});

test("names become camelCase, no member is lost and values stay as they are", async () => {
  const server = new Server({ clock });
  const user = { id: 1, first_name: "a", firstName: "b", _private: 1, address_2: "c", settings: { dark_mode: 1 } };
  server.answers.session = () => answer(200, { ...server.body(), user });
  const { data } = await make(server).getSession();
  assert.deepEqual(data.user, {
    id: 1,
    first_name: "a",
    firstName: "b",
    _private: 1,
    address2: "c",
    settings: { dark_mode: 1 },
  });
});

test("no answer makes a verb throw", async () => {
  const answers = {
    network_error: () => Promise.reject(new TypeError("failed")),
    unexpected_answer: () => answer(502, "<html>Bad gateway</html>"),
    permission_denied: () => refusal(403, "permission_denied"),
  };
  for (const [code, respond] of Object.entries(answers)) {
    const server = new Server({ clock });
    for (const path of ["session", "sign-in", "sign-out", "sessions", "sessions/1", "sessions/revoke", "reauthenticate"]) {
      server.answers[path] = respond;
    }
    const client = make(server);
    const results = [
      client.getSession(),
      client.signIn({ username: "ada", password: "x" }),
      client.signOut(),
      client.listSessions(),
      client.revokeSession("1"),
      client.revokeOtherSessions(),
      client.revokeSessions(),
      client.reauthenticate({ password: "x" }),
      client.refresh(),
    ];
    for (const result of await Promise.all(results)) {
      assert.equal(result.error.code, code);
      assert.deepEqual(Object.keys(result), ["data", "error"]);
    }
  }
});

test("an end that not every process knows of yet is an end", async () => {
  const server = new Server({ clock });
  const unsettled = { settled: false, within: 65 };
  server.answers["sign-out"] = () => answer(202, unsettled);
  server.answers["sessions/1"] = () => answer(202, unsettled);
  server.answers["sessions/revoke"] = () => answer(202, { revoked: 2, ...unsettled });
  const client = make(server);
  assert.deepEqual(await client.revokeSession("1"), { data: unsettled, error: null });
  assert.deepEqual(await client.revokeOtherSessions(), { data: { revoked: 2, ...unsettled }, error: null });
  assert.deepEqual(await client.signOut(), { data: null, error: null });
  assert.equal(client.session.data, null);
});

test("errors carry what the server says", async () => {
  const server = new Server({ clock });
  server.answers["sign-in"] = [
    () => refusal(400, "invalid", { fields: { password: ["Missing."] } }),
    () => answer(429, { code: "throttled", detail: "Later." }, { "Retry-After": "12.5" }),
  ];
  const client = make(server);
  const first = await client.signIn({});
  assert.deepEqual(first.error.fields, { password: ["Missing."] });
  assert.equal(first.error.status, 400);
  assert.equal((await client.signIn({})).error.retryAfter, 12.5);
});

// The store

test("nothing changes while nothing has changed", async () => {
  const client = make(new Server({ clock }));
  await client.getSession();
  const { data } = client.session.get();
  const states = [];
  client.session.listen((state) => states.push(state));
  // But for the seconds that are left.
  await clock.pass(5);
  await client.getSession();
  await settle();
  assert.equal(client.session.data, data);
  assert.deepEqual(states.map(({ isRefetching }) => isRefetching), [true, false]);
  assert.ok(states.every((state) => state.data === data && Object.isFrozen(state)));
});

test("the user stays the same object when only the session has moved", async () => {
  const server = new Server({ clock });
  const client = make(server);
  await client.getSession();
  const { session, user } = client.session.data;
  server.expiresAt += 60_000;
  await client.getSession();
  assert.notEqual(client.session.data.session, session);
  assert.equal(client.session.data.user, user);
});

test("subscribe calls at once and until it is undone, a listener that throws is no matter", async () => {
  const client = make(new Server({ clock }), { initialSession: null });
  const uncaught = [];
  const own = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => uncaught.push(error.message));
  const seen = [];
  client.session.listen(() => {
    throw new Error("of a listener");
  });
  const listener = (state) => seen.push(state.data?.user.username ?? null);
  const undo = client.session.subscribe(listener);
  const again = client.session.subscribe(listener);
  await client.signIn({ username: "ada", password: "x" });
  again();
  undo();
  undo();
  await client.signOut();
  await settle();
  process.removeAllListeners("uncaughtException");
  own.forEach((each) => process.on("uncaughtException", each));
  assert.deepEqual(seen, [null, null, "ada", "ada"]);
  assert.equal(uncaught[0], "of a listener");
  assert.deepEqual(client.told, ["signed-in", "signed-out: signed_out"]);
});

test("the store is one that nanostores' hook takes", async () => {
  const { createElement: h } = await import("react");
  const { renderToString } = await import("react-dom/server");
  const { useStore } = await import("@nanostores/react");
  const client = make(new Server({ clock }));
  await client.getSession();
  assert.equal(client.session.value, client.session.get());
  assert.equal(renderToString(h(() => useStore(client.session).data.user.username)), "ada");
});

test("somebody who looks makes the client ask, once", async () => {
  const server = new Server({ clock });
  const client = make(server);
  assert.equal(client.session.isPending, true);
  await settle();
  assert.deepEqual(server.asked(), []);
  client.session.subscribe(() => {});
  client.session.listen(() => {});
  await settle();
  assert.deepEqual(server.asked(), ["GET session"]);
});

test("what the server has rendered is believed without asking, also that nobody is signed in", async () => {
  const server = new Server({ clock });
  const signedIn = make(server, { initialSession: server.body() });
  assert.equal(signedIn.session.get().data.user.firstName, "Ada");
  const nobody = make(server, { initialSession: { session: null, user: null } });
  const nothing = make(server, { initialSession: null });
  for (const client of [signedIn, nobody, nothing]) {
    client.session.subscribe(() => {});
    assert.equal(client.session.isPending, false);
  }
  await settle();
  assert.equal(nobody.session.data, null);
  assert.deepEqual(server.asked(), []);
});

// Time

test("expiring comes in time, expired when the server says so", async () => {
  const server = new Server({ clock, age: 300 });
  const client = make(server, { expiringBefore: 60 });
  await client.getSession();
  await clock.pass(238);
  assert.deepEqual(client.told, []);
  await clock.pass(4);
  assert.deepEqual(client.told, ["expiring"]);
  await clock.pass(57);
  assert.deepEqual(client.told, ["expiring"]);
  assert.deepEqual(server.asked(), ["GET session", "GET session"]);
  await clock.pass(5);
  assert.deepEqual(server.requests.map(({ isPassive }) => isPassive), [false, true, true, true]);
  assert.deepEqual(client.told, ["expiring", "expired", "signed-out: expired"]);
  assert.equal(client.session.data, null);
});

test("a session that is used elsewhere meanwhile does not expire", async () => {
  const server = new Server({ clock, age: 300 });
  const client = make(server);
  await client.getSession();
  server.expiresAt += 300_000;
  await clock.pass(310);
  assert.deepEqual(client.told, []);
  assert.equal(client.session.isPending, false);
  assert.equal(client.session.data.user.username, "ada");
});

test("staying signed in moves the warning", async () => {
  const server = new Server({ clock, age: 300 });
  const client = make(server);
  client.on("expiring", ({ stay, expiresIn }) => {
    assert.ok(expiresIn <= 60 && expiresIn > 57);
    server.expiresAt = server.time + 300_000;
    stay();
  });
  await client.getSession();
  await clock.pass(300);
  assert.deepEqual(client.told, ["expiring"]);
  await clock.pass(240);
  assert.deepEqual(client.told, ["expiring", "expiring"]);
});

test("a server that says nothing of the time left is asked no more often", async () => {
  const server = new Server({ clock, age: 300 });
  const { expires_in: _, ...session } = server.body().session;
  server.answers.session = () => answer(200, { session, user: USER });
  const client = make(server);
  await client.getSession();
  await clock.pass(280);
  assert.deepEqual(server.asked(), ["GET session"]);
  assert.deepEqual(client.told, []);
});

test("a server that cannot be reached at the expiry is asked as after any failure", async () => {
  mock.method(Math, "random", () => 1);
  const server = new Server({ clock, age: 300 });
  const client = make(server, { expiringBefore: 10 });
  await client.getSession();
  server.answers.session = () => Promise.reject(new TypeError("failed"));
  await clock.pass(320);
  assert.ok(server.requests.length < 9);
  assert.deepEqual(client.told, []);
  delete server.answers.session;
  await clock.pass(60);
  assert.deepEqual(client.told, ["expired", "signed-out: expired"]);
});

test("what a timer asks is no activity, what a person makes it ask is", async () => {
  const page = useDocument();
  const heard = {};
  page.addEventListener = (type, listener) => (heard[type] = listener);
  const server = new Server({ clock, age: 90000 });
  const client = make(server, { refetchInterval: 30 });
  await client.getSession();
  await clock.pass(31);
  heard.visibilitychange();
  await clock.pass(6);
  heard.visibilitychange();
  await settle();
  await client.getSession({ passive: true });
  await client.refresh();
  const passive = server.requests.map(({ isPassive }) => isPassive);
  assert.deepEqual(passive, [false, true, false, true, false]);
});

test("a person who asks while a timer is asking is not taken for the timer", async () => {
  const server = new Server({ clock });
  const client = make(server);
  await Promise.all([client.getSession({ passive: true }), client.getSession(), client.getSession()]);
  assert.deepEqual(server.requests.map(({ isPassive }) => isPassive), [true, false]);
});

test("a refresh for a timer is no activity, any other is", async () => {
  const [server, client] = withTokens("jwt");
  await client.signIn({ username: "ada", password: "x" });
  await clock.pass(890);
  await Promise.all([client.getSession({ passive: true }), clock.pass(2)]);
  await clock.pass(890);
  await Promise.all([client.getSession(), clock.pass(2)]);
  const bodies = server.requests.filter(({ path }) => path === "token/refresh").map(({ body }) => JSON.parse(body));
  assert.deepEqual(
    bodies.map(({ refresh, passive }) => ({ refresh, passive })),
    [
      { refresh: "refresh-1", passive: true },
      { refresh: "refresh-2", passive: false },
    ],
  );
});

test("a session of months sets no timer off at once", async () => {
  const server = new Server({ clock, age: 90 * 86400 });
  const client = make(server);
  await client.getSession();
  await clock.pass(60);
  assert.deepEqual(server.asked(), ["GET session"]);
  assert.deepEqual(client.told, []);
});

// Failures

test("a failure keeps the state and is tried again, less and less often", async () => {
  mock.method(Math, "random", () => 1);
  const server = new Server({ clock, age: 90000 });
  const client = make(server);
  await client.getSession();
  server.answers.session = () => answer(503, "<html>");
  server.requests.length = 0;
  await client.getSession();
  assert.equal(client.session.error.status, 503);
  const after = [];
  for (let second = 1; second <= 130; second += 1) {
    const before = server.requests.length;
    await clock.pass(1);
    if (server.requests.length > before) after.push(second);
  }
  assert.deepEqual(after.slice(0, 6), [1, 3, 7, 15, 31, 63]);
  assert.equal(client.session.data.user.username, "ada");
  delete server.answers.session;
  await clock.pass(61);
  assert.equal(client.session.error, null);
  assert.deepEqual(client.told, []);
});

test("the waits differ from client to client", async () => {
  const waits = new Set();
  mock.method(globalThis, "setTimeout", (_, wait) => wait < 30_000 && waits.add(wait));
  for (let number = 0; number < 5; number += 1) {
    const server = new Server({ clock });
    server.answers.session = () => answer(500, "");
    await make(server).getSession();
  }
  assert.equal(waits.size, 5);
});

test("a failed sign-out signs nobody out", async () => {
  const server = new Server({ clock });
  const client = make(server);
  await client.getSession();
  server.answers["sign-out"] = () => Promise.reject(new TypeError("failed"));
  assert.equal((await client.signOut()).error.code, "network_error");
  assert.equal(client.session.data.user.username, "ada");
  assert.deepEqual(client.told, []);
});

test("one answer that nobody is signed in is not believed, two are", async () => {
  const server = new Server({ clock });
  const client = make(server);
  await client.getSession();
  server.answers.session = [() => answer(200, { session: null, user: null })];
  const [again] = await Promise.all([client.getSession(), clock.pass(2)]);
  assert.equal(again.data.user.username, "ada");
  assert.deepEqual(client.told, []);
  server.end();
  await Promise.all([client.getSession(), clock.pass(2)]);
  assert.deepEqual(client.told, ["signed-out: session_ended"]);
});

for (const transport of ["bearer", "jwt"]) {
  test(`the reason is the server's where it tells one, by ${transport}`, async () => {
    const [server, client] = withTokens(transport);
    await client.signIn({ username: "ada", password: "x" });
    server.end("revoked");
    await Promise.all([client.listSessions(), clock.pass(2)]);
    assert.deepEqual(client.told.at(-1), "signed-out: revoked");
  });
}

test("by cookie the reason counts that comes with the first word, for the cookie goes with it", async () => {
  const server = new Server({ clock });
  const client = make(server);
  await client.getSession();
  server.end("password_changed");
  await Promise.all([client.getSession(), clock.pass(2)]);
  assert.deepEqual(server.asked().length, 3);
  assert.deepEqual(client.told, ["signed-out: password_changed"]);
});

test("a reason that was not believed is forgotten", async () => {
  const server = new Server({ clock });
  const client = make(server);
  await client.getSession();
  server.answers.session = [() => answer(200, { session: null, user: null, ended: { reason: "limit" } })];
  await Promise.all([client.getSession(), clock.pass(2)]);
  assert.deepEqual(client.told, []);
  server.end();
  await Promise.all([client.getSession(), clock.pass(2)]);
  assert.deepEqual(client.told, ["signed-out: session_ended"]);
});

test("an expiry the server tells is one, whatever this page has counted", async () => {
  const [server, client] = withTokens("bearer");
  await client.signIn({ username: "ada", password: "x" });
  server.end("expired");
  await Promise.all([client.getSession(), clock.pass(2)]);
  assert.deepEqual(client.told.slice(1), ["expired", "signed-out: expired"]);
});

test("a sign-in that is faster than the first answer is told", async () => {
  for (const isSlow of [true, false]) {
    const server = new Server({ clock });
    server.end();
    let respond;
    const late = new Promise((done) => (respond = done));
    if (isSlow) server.answers.session = [() => late];
    const client = make(server);
    client.session.listen(() => {});
    await settle();
    const signedIn = client.signIn({ username: "ada", password: "x" });
    await signedIn;
    respond(answer(200, { session: null, user: null }));
    await settle();
    assert.deepEqual(client.told, ["signed-in"]);
    assert.equal(client.session.data.user.username, "ada");
  }
});

test("who is signed in from the start has not just signed in", async () => {
  const client = make(new Server({ clock }));
  await client.getSession();
  assert.deepEqual(client.told, []);
});

// CSRF

test("the CSRF token is the cookie's at the moment, or that of the meta tag", async () => {
  const page = useDocument({ cookie: "a=b; csrftoken=one", meta: "of-the-page" });
  const server = new Server({ clock });
  const client = make(server);
  await client.signIn({ username: "ada", password: "x" });
  page.cookie = "csrftoken=two";
  await client.signOut();
  page.cookie = "";
  await client.signIn({ username: "ada", password: "x" });
  const sent = server.requests.map(({ headers }) => headers.get("X-CSRFToken"));
  assert.deepEqual(sent, ["one", "two", "of-the-page"]);
});

test("a CSRF token that is missing or out of date is asked for, once", async () => {
  const page = useDocument();
  const server = new Server({ clock });
  server.answers.session = () => {
    page.cookie = `csrftoken=${server.requests.length}`;
  };
  const client = make(server);
  await client.signIn({ username: "ada", password: "x" });
  assert.deepEqual(server.asked(), ["GET session", "POST sign-in"]);
  server.answers["sessions/revoke"] = [() => refusal(403, "csrf_failed")];
  assert.equal((await client.revokeOtherSessions()).error, null);
  assert.deepEqual(server.asked().slice(2), ["POST sessions/revoke", "GET session", "POST sessions/revoke"]);
  server.answers["sessions/revoke"] = () => refusal(403, "csrf_failed");
  assert.equal((await client.revokeOtherSessions()).error.code, "csrf_failed");
  assert.equal(server.asked().length, 8);
});

test("where scripts cannot read the cookie the token is what the last answer told, also before the page's own", async () => {
  useDocument({ meta: "of-the-page" });
  const server = new Server({ clock });
  const client = make(server);
  await client.revokeOtherSessions();
  server.answers.session = () => answer(200, server.body(), { "X-CSRFToken": "told" });
  await client.getSession();
  await client.revokeOtherSessions();
  server.answers["sign-in"] = () => answer(200, server.body(), { "X-CSRFToken": "renewed" });
  await client.signIn({ username: "ada", password: "x" });
  await client.signOut();
  const sent = server.requests.filter(({ method }) => method === "POST").map(({ headers }) => headers.get("X-CSRFToken"));
  assert.deepEqual(sent, ["of-the-page", "told", "told", "renewed"]);
});

// Tokens

test("an access token is renewed before it expires, by the next request and not by a timer", async () => {
  const [server, client] = withTokens("jwt");
  await client.signIn({ username: "ada", password: "x" });
  await clock.pass(860);
  assert.deepEqual(server.asked(), ["POST sign-in"]);
  await client.listSessions();
  assert.deepEqual(server.asked().slice(1), ["GET sessions"]);
  await clock.pass(15);
  await Promise.all([client.listSessions(), client.listSessions(), client.getSession(), clock.pass(2)]);
  assert.equal(server.asked().filter((each) => each === "POST token/refresh").length, 1);
});

test("a refresh whose answer is lost is repeated with the same token", async () => {
  const [server, client] = withTokens("jwt");
  await client.signIn({ username: "ada", password: "x" });
  server.answers["token/refresh"] = [() => Promise.reject(new TypeError("lost"))];
  const [result] = await Promise.all([client.refresh(), clock.pass(2)]);
  assert.equal(result.error, null);
  const bodies = server.requests.filter(({ path }) => path === "token/refresh").map(({ body }) => body);
  const { attempt, ...body } = JSON.parse(bodies[0]);
  assert.match(attempt, /^[0-9a-f]{32}$/);
  assert.deepEqual(body, { refresh: "refresh-1", passive: false });
  assert.equal(bodies[1], bodies[0]);
});

test("each refresh is an attempt of its own", async () => {
  const [server, client] = withTokens("jwt");
  await client.signIn({ username: "ada", password: "x" });
  for (let time = 0; time < 2; time++) await Promise.all([client.refresh(), clock.pass(2)]);
  const bodies = server.requests.filter(({ path }) => path === "token/refresh").map(({ body }) => JSON.parse(body));
  assert.equal(new Set(bodies.map(({ attempt }) => attempt)).size, 2);
});

test("tokens that cannot be stored leave no older ones behind", async () => {
  const storage = place();
  const server = new Server({ clock });
  server.disclosed = server.pair();
  const client = make(server, { transport: "jwt", storage });
  await client.signIn({ username: "ada", password: "x" });
  assert.match(storage.kept.text, /refresh-1/);
  storage.setItem = async () => {
    throw new Error("full");
  };
  await Promise.all([client.refresh(), clock.pass(2)]);
  assert.equal(storage.kept.text, null);
  assert.equal((await client.getSession()).data.user.username, "ada");
});

test("a token that another tab has stored is taken, not refreshed", async () => {
  const storage = place();
  const server = new Server({ clock });
  server.disclosed = server.pair();
  const client = make(server, { transport: "jwt", storage });
  await client.signIn({ username: "ada", password: "x" });
  server.pair();
  const { turn } = JSON.parse(storage.kept.text);
  storage.kept.text = JSON.stringify({ access: "access-2", refresh: "refresh-2", turn: turn + 1 });
  const [result] = await Promise.all([client.getSession(), clock.pass(2)]);
  assert.equal(result.data.user.username, "ada");
  assert.equal(server.asked().includes("POST token/refresh"), false);
});

test("stored tokens of a session that is over are cleared", async () => {
  const storage = place(JSON.stringify({ access: "old", refresh: "old", turn: 1 }));
  const server = new Server({ clock });
  server.end();
  const client = make(server, { transport: "jwt", storage });
  const [result] = await Promise.all([client.getSession(), clock.pass(2)]);
  assert.deepEqual(result, { data: null, error: null });
  assert.equal(storage.kept.text, null);
  assert.deepEqual(client.told, []);
});

test("what is in the storage and is not the client's is as good as nothing", async () => {
  for (const text of ["not json", "null", "7", '"text"', "{}"]) {
    const server = new Server({ clock });
    const client = make(server, { transport: "jwt", storage: place(text) });
    const [result] = await Promise.all([client.getSession(), clock.pass(2)]);
    assert.deepEqual(result, { data: null, error: null });
  }
});

// fetch

test("fetch sends the token to its own origin and to no other", async () => {
  const [server, client] = withTokens("bearer");
  await client.signIn({ username: "ada", password: "x" });
  await client.fetch("https://site.example/api/things");
  await client.fetch("https://other.example/api/things");
  await client.fetch("https://site.example:8443/api/things");
  const sent = server.requests.slice(1).map(({ headers }) => headers.get("Authorization"));
  assert.deepEqual(sent, ["Bearer token-1", null, null]);
});

test("fetch refreshes once, sends the same request once more, and gives the answer", async () => {
  const [server, client] = withTokens("jwt");
  await client.signIn({ username: "ada", password: "x" });
  server.answers["/api/things"] = [() => refusal(401, "token_expired"), () => answer(201, {})];
  const init = { method: "POST", body: "the body", headers: { "X-Own": "1" } };
  const [response] = await Promise.all([client.fetch("https://site.example/api/things", init), clock.pass(2)]);
  assert.equal(response.status, 201);
  const sent = server.requests.filter(({ path }) => path === "/api/things");
  assert.deepEqual(sent.map(({ body }) => body), ["the body", "the body"]);
  assert.deepEqual(sent.map(({ headers }) => headers.get("Authorization")), ["Bearer access-1", "Bearer access-2"]);
  server.answers["/api/things"] = () => refusal(401, "token_expired");
  const [last] = await Promise.all([client.fetch("https://site.example/api/things"), clock.pass(2)]);
  assert.equal(last.status, 401);
  assert.equal(server.requests.filter(({ path }) => path === "/api/things").length, 4);
});

test("fetch leaves alone a 401 that is about something else", async () => {
  const [server, client] = withTokens("jwt");
  await client.signIn({ username: "ada", password: "x" });
  server.answers["/api/unlock"] = () => refusal(401, "wrong_pin");
  const response = await client.fetch("https://site.example/api/unlock", { method: "POST" });
  assert.equal((await response.json()).code, "wrong_pin");
  assert.deepEqual(server.asked().slice(1), ["POST /api/unlock"]);
});

test("fetch throws only what fetch would", async () => {
  const [server, client] = withTokens("bearer");
  await client.signIn({ username: "ada", password: "x" });
  server.answers["/api/things"] = () => Promise.reject(new TypeError("failed"));
  await assert.rejects(client.fetch("https://site.example/api/things"), TypeError);
});

test("by cookie fetch brings the CSRF token along where it is needed", async () => {
  useDocument({ cookie: "csrftoken=one" });
  const server = new Server({ clock });
  const client = make(server);
  await client.fetch("https://site.example/api/things");
  await client.fetch("https://site.example/api/things", { method: "PUT" });
  await client.fetch("https://other.example/api/things", { method: "PUT" });
  assert.deepEqual(server.requests.map(({ headers }) => headers.get("X-CSRFToken")), [null, "one", null]);
});

test("the address of another page of the list leads to no other server", async () => {
  const [server, client] = withTokens("bearer");
  await client.signIn({ username: "ada", password: "x" });
  await client.listSessions("https://other.example/steal?cursor=abc");
  assert.equal(server.requests.at(-1).url, `${ADDRESS}sessions?cursor=abc`);
});

// React

test("React renders on the server what the client was given", async () => {
  const { createElement: h } = await import("react");
  const { renderToString } = await import("react-dom/server");
  // Where its own import finds the React of these tests.
  const copy = new URL("node_modules/.copy/", import.meta.url);
  mkdirSync(copy, { recursive: true });
  for (const file of ["package.json", "list.js", "react.js"]) copyFileSync(new URL(file, DIRECTORY), new URL(file, copy));
  const { SessionProvider, useAuth, useSession } = await import(new URL("react.js", copy));
  const server = new Server({ clock });
  const client = make(server, { initialSession: server.body() });
  const Account = () => `${useAuth().user.firstName} ${useAuth().isLoading} ${useSession().isRefetching}`;
  assert.equal(renderToString(h(SessionProvider, { client }, h(Account))), "Ada false false");
  assert.throws(() => renderToString(h(Account)), /SessionProvider/);
  assert.deepEqual(server.asked(), []);
});
