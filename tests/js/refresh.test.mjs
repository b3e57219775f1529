// A refresh is one attempt, however often it has to be sent; and tokens that a view replaces.

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { DIRECTORY, clock, make, place, useLocalStorage, useLocks, withTokens } from "./harness.mjs";
import { ADDRESS, Server, answer, refusal, settle, useDocument } from "./server.mjs";

const CREDENTIALS = { username: "ada", password: "x" };
const LOST = () => Promise.reject(new TypeError("lost"));

const refreshes = (server) =>
  server.requests.filter(({ path }) => path === "token/refresh").map(({ body }) => JSON.parse(body));

/** By the token of a storage, and by a cookie beside which the browser's storage is. */
const WAYS = {
  storage() {
    const storage = place();
    return { options: { transport: "jwt", storage }, stored: () => storage.kept.text ?? "" };
  },
  cookie() {
    useDocument({ cookie: "csrftoken=one" });
    const items = useLocalStorage();
    return { options: { transport: "jwt" }, stored: () => JSON.stringify([...items]) };
  },
};

for (const [way, use] of Object.entries(WAYS)) {
  test(`the attempt is stored before it is sent and gone when the answer has come, by ${way}`, async () => {
    const { options, stored } = use();
    const server = new Server({ clock });
    server.disclosed = server.pair();
    const client = make(server, options);
    await client.signIn(CREDENTIALS);
    const during = [];
    server.answers["token/refresh"] = ({ body }) => void during.push(stored().includes(JSON.parse(body).attempt));
    for (let time = 0; time < 2; time++) await Promise.all([client.refresh(), clock.pass(2)]);
    assert.deepEqual(during, [true, true]);
    const attempts = refreshes(server).map(({ attempt }) => attempt);
    assert.equal(new Set(attempts).size, 2);
    for (const attempt of attempts) assert.ok(/^[0-9a-f]{32}$/.test(attempt) && !stored().includes(attempt));
  });

  test(`a page that is opened again repeats the attempt of the one before, by ${way}`, async () => {
    const { options } = use();
    const server = new Server({ clock });
    server.disclosed = server.pair();
    const client = make(server, options);
    await client.signIn(CREDENTIALS);
    server.answers["token/refresh"] = () => new Promise(() => {});
    client.refresh();
    await clock.pass(1);
    client.close();
    await clock.pass(60);
    delete server.answers["token/refresh"];
    const reopened = make(server, options);
    const [{ error }] = await Promise.all([reopened.refresh(), clock.pass(2)]);
    assert.equal(error, null);
    const [first, second] = refreshes(server);
    assert.equal(second.attempt, first.attempt);
    assert.equal(second.refresh, first.refresh);
  });

  test(`an answer that is lost three times is asked for with one attempt, by ${way}`, async () => {
    const { options } = use();
    const server = new Server({ clock });
    server.disclosed = server.pair();
    const client = make(server, options);
    await client.signIn(CREDENTIALS);
    server.answers["token/refresh"] = [LOST, () => answer(502, "<html>"), LOST];
    const results = [];
    for (let time = 0; time < 2; time++) results.push((await Promise.all([client.refresh(), clock.pass(2)]))[0].error?.code);
    assert.deepEqual(results.at(-1), undefined);
    assert.equal(new Set(refreshes(server).map(({ attempt }) => attempt)).size, 1);
    assert.equal(refreshes(server).length, 4);
    assert.equal(client.session.data.user.username, "ada");
  });

  test(`an attempt that was refused for good is not kept, by ${way}`, async () => {
    const { options, stored } = use();
    const server = new Server({ clock });
    server.disclosed = server.pair();
    const client = make(server, options);
    await client.signIn(CREDENTIALS);
    server.answers["token/refresh"] = [() => refusal(403, "https_required")];
    const [{ error }] = await Promise.all([client.refresh(), clock.pass(2)]);
    assert.equal(error.code, "https_required");
    assert.ok(!stored().includes(refreshes(server)[0].attempt));
    server.end();
    await Promise.all([client.refresh(), clock.pass(2)]);
    assert.equal(client.session.data, null);
    assert.ok(!/[0-9a-f]{32}/.test(stored()));
  });
}

test("the attempt of whoever was here before is not used after another sign-in", async () => {
  const { options, stored } = WAYS.cookie();
  const server = new Server({ clock });
  server.disclosed = server.pair();
  const before = make(server, options);
  await before.signIn(CREDENTIALS);
  server.answers["token/refresh"] = () => new Promise(() => {});
  before.refresh();
  await clock.pass(1);
  before.close();
  delete server.answers["token/refresh"];
  const client = make(server, options);
  await client.signIn({ username: "bob", password: "y" });
  assert.equal(stored(), "[]");
  await Promise.all([client.refresh(), clock.pass(2)]);
  const [first, second] = refreshes(server);
  assert.notEqual(second.attempt, first.attempt);
});

test("a local sign-out forgets the attempt, and sends it along where that is the only way to end the session", async () => {
  for (const [way, use] of Object.entries(WAYS)) {
    const { options, stored } = use();
    const server = new Server({ clock });
    server.disclosed = server.pair();
    const client = make(server, options);
    await client.signIn(CREDENTIALS);
    server.answers["token/refresh"] = [() => new Promise(() => {})];
    server.answers["sign-out"] = [() => refusal(401, "token_expired")];
    client.refresh();
    await clock.pass(1);
    assert.match(stored(), /[0-9a-f]{32}/);
    await client.signOut({ local: true });
    await settle();
    assert.doesNotMatch(stored(), /[0-9a-f]{32}/);
    const sent = refreshes(server);
    if (way === "storage") assert.deepEqual(sent[1], { ...sent[0], passive: true });
    else assert.equal(sent.length, 1);
  }
});

test("what another tab has stored meanwhile is not removed with one's own", async () => {
  const { createTokens } = await import(new URL("tokens.js", DIRECTORY));
  const storage = place();
  const tokens = createTokens({ transport: "bearer", storage, name: "n" });
  await tokens.put({ token: "mine" }, 0);
  const another = JSON.stringify({ access: "another", turn: 1 });
  storage.kept.text = another;
  await tokens.drop();
  assert.equal(storage.kept.text, another);
});

test("a storage that is slow has the attempt before the server has", async () => {
  const storage = place();
  const server = new Server({ clock });
  server.disclosed = server.pair();
  const client = make(server, { transport: "jwt", storage });
  await client.signIn(CREDENTIALS);
  const { setItem } = storage;
  storage.setItem = async (...given) => (await new Promise(setImmediate), setItem(...given));
  let isStored;
  server.answers["token/refresh"] = ({ body }) => void (isStored = storage.kept.text.includes(JSON.parse(body).attempt));
  const asked = client.refresh();
  for (let turn = 0; turn < 5; turn++) await clock.pass(1);
  assert.equal((await asked).error, null);
  assert.equal(isStored, true);
});

test("the attempt of another tab outlasts the refresh of this one", async () => {
  const { createTokens } = await import(new URL("tokens.js", DIRECTORY));
  const items = useLocalStorage();
  const another = "0".repeat(32);
  const send = async (method) => {
    if (method === "GET") return { data: { refresh_cookie: true } };
    items.set("n/attempt", another);
    return { data: { access: "a", expires_in: 900 } };
  };
  const tokens = createTokens({ transport: "jwt", storage: "memory", refreshCookie: true, name: "n", send });
  await tokens.put((await tokens.renew()).data, 0);
  assert.equal(items.get("n/attempt"), another);
});

test("a local sign-out uses the tokens that another tab has stored", async () => {
  const storage = place();
  const server = new Server({ clock });
  server.disclosed = server.pair();
  const client = make(server, { transport: "jwt", storage });
  await client.signIn(CREDENTIALS);
  const { access, refresh } = server.pair();
  storage.kept.text = JSON.stringify({ access, refresh, turn: Date.now() + 1000 });
  await client.signOut({ local: true });
  await settle();
  assert.equal(server.requests.at(-1).headers.get("Authorization"), `Bearer ${access}`);
  assert.equal(storage.kept.text, null);
});

test("without locks tabs take turns by the storage, and a claim whose tab has gone holds none up", async () => {
  useDocument({ cookie: "csrftoken=one" });
  const items = useLocalStorage();
  useLocks(null);
  const server = new Server({ clock });
  server.disclosed = server.pair();
  const tabs = [make(server, { transport: "jwt" }), make(server, { transport: "jwt" })];
  await Promise.all([tabs[0].signIn(CREDENTIALS), clock.pass(1)]);
  for (let turn = 0; turn < 20; turn++) await settle();
  assert.equal(tabs[1].session.data.user.username, "ada");
  await Promise.all([...tabs.map((tab) => tab.refresh()), clock.pass(5)]);
  assert.equal(refreshes(server).length, 1);
  assert.equal(items.size, 0);
  items.set(`sessions-plus/jwt/${ADDRESS}/turn`, `another ${Date.now() + 1000}`);
  mock.method(Date, "now", () => new Date().getTime() + 2000);
  const [{ error }] = await Promise.all([tabs[0].refresh(), clock.pass(5)]);
  assert.equal(error, null);
  assert.equal(refreshes(server).length, 2);
});

test("a new pair is stored before the attempt for the last one is gone", async () => {
  const storage = place();
  const server = new Server({ clock });
  server.disclosed = server.pair();
  const client = make(server, { transport: "jwt", storage });
  await client.signIn(CREDENTIALS);
  await Promise.all([client.refresh(), clock.pass(2)]);
  const written = storage.kept.log.map((text) => JSON.parse(text)).map(({ refresh, attempt }) => [refresh, !!attempt]);
  assert.deepEqual(written, [["refresh-1", false], ["refresh-1", true], ["refresh-2", false]]);
});

test("an answer that takes the network's time is waited for", async () => {
  const [server, client] = withTokens("jwt");
  await client.signIn(CREDENTIALS);
  let respond;
  server.answers["token/refresh"] = [() => new Promise((done) => (respond = done))];
  const asked = client.refresh();
  await clock.pass(29);
  respond(answer(200, server.pair()));
  await settle();
  await clock.pass(1);
  assert.equal((await asked).error, null);
  assert.equal(refreshes(server).length, 1);
});

test("a storage that takes no attempt keeps the token that is still good", async () => {
  const storage = place();
  const server = new Server({ clock });
  server.disclosed = server.pair();
  const client = make(server, { transport: "jwt", storage });
  await client.signIn(CREDENTIALS);
  storage.setItem = async () => {
    throw new Error("full");
  };
  server.answers["token/refresh"] = LOST;
  await Promise.all([client.refresh(), clock.pass(2)]);
  assert.match(storage.kept.text, /refresh-1/);
});

test("a token that a view has replaced is taken from the header of the answer", async () => {
  for (const by of ["fetch", "verb"]) {
    const [server, client] = withTokens("bearer");
    const { told } = client;
    client.on("token-refreshed", () => told.push("token-refreshed"));
    await client.signIn(CREDENTIALS);
    const replace = () => {
      server.token = "token-2";
      return answer(200, { results: [], next: null, previous: null }, { "Session-Token": "token-2" });
    };
    server.answers["/api/password"] = server.answers.sessions = [replace];
    if (by === "fetch") await client.fetch("https://site.example/api/password", { method: "POST" });
    else await client.listSessions();
    await settle();
    assert.deepEqual(told, ["signed-in", "token-refreshed"]);
    assert.equal((await client.getSession()).data.user.username, "ada");
    assert.equal(server.requests.at(-1).headers.get("Authorization"), "Bearer token-2");
    assert.ok(!server.asked().includes("POST sign-in", 1));
  }
});

test("a token in a header is believed only for the token that was sent, and from the API's origin", async () => {
  const [server, client] = withTokens("bearer");
  await client.signIn(CREDENTIALS);
  server.answers["https://other.example/"] = () => answer(200, {}, { "Session-Token": "foreign" });
  server.answers["/"] = server.answers["https://other.example/"];
  await client.fetch("https://other.example/");
  await settle();
  await client.listSessions();
  assert.equal(server.requests.at(-1).headers.get("Authorization"), "Bearer token-1");
  // Of two that were under way at once, the later answer is about a token that has been replaced.
  const waiting = [];
  server.answers["/slow"] = () => new Promise((done) => waiting.push(done));
  const both = [client.fetch("https://site.example/slow"), client.fetch("https://site.example/slow")];
  await settle();
  waiting[0](answer(200, {}, { "Session-Token": "token-2" }));
  await both[0];
  waiting[1](answer(200, {}, { "Session-Token": "older" }));
  await both[1];
  await settle();
  assert.equal(await client.accessToken(), "token-2");
  const [pairs, jwt] = withTokens("jwt");
  await jwt.signIn(CREDENTIALS);
  pairs.answers.sessions = () => answer(200, { results: [] }, { "Session-Token": "not of this transport" });
  await jwt.listSessions();
  await jwt.listSessions();
  assert.equal(pairs.requests.at(-1).headers.get("Authorization"), "Bearer access-1");
});
