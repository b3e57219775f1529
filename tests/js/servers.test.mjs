// The session of a request, on a server that renders pages.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { mock, test } from "node:test";

import { DIRECTORY } from "./harness.mjs";
import { Server, answer, refusal } from "./server.mjs";

const { sessionFromRequest } = await import(new URL("server.js", DIRECTORY));
const { createSessionClient } = await import(new URL("client.js", DIRECTORY));

const BASE = "http://127.0.0.1:8000/auth";
const requestWith = (headers) => new Request("https://site.example/page", { headers });

function asking(given = () => answer(200, new Server().body())) {
  const asked = [];
  const fetch = async (address, init) => (asked.push([address, init]), given());
  return { asked, options: { baseUrl: BASE, fetch } };
}

test("it is asked for with the credentials of the request, as no activity", async () => {
  const { asked, options } = asking();
  const headers = {
    cookie: "sessionid=a; csrftoken=b",
    "user-agent": "Firefox",
    "x-forwarded-for": "203.0.113.9",
    host: "site.example",
    "x-secret": "no",
  };
  const { data, error, initialSession } = await sessionFromRequest(requestWith(headers), options);
  assert.equal(error, null);
  assert.equal(data.user.firstName, "Ada");
  const [address, { headers: sent, cache }] = asked[0];
  assert.equal(address, "http://127.0.0.1:8000/auth/session?passive=true");
  assert.equal(cache, "no-store");
  assert.deepEqual(sent, {
    cookie: "sessionid=a; csrftoken=b",
    "user-agent": "Firefox",
    "x-forwarded-for": "203.0.113.9",
    accept: "application/json",
  });
  assert.equal(createSessionClient({ initialSession }).session.data.user.username, "ada");
});

test("a bearer token and the requests of Node's own server are taken as well", async () => {
  const { asked, options } = asking();
  const { data } = await sessionFromRequest({ headers: { authorization: "Bearer x" } }, options);
  assert.equal(data.session.id, "session-1");
  assert.equal(asked[0][1].headers.authorization, "Bearer x");
});

test("a request without credentials is nobody's, and nobody is asked", async () => {
  const { asked, options } = asking();
  const found = await sessionFromRequest(requestWith({}), options);
  assert.deepEqual(found, { data: null, error: null, initialSession: { session: null, user: null } });
  assert.deepEqual(asked, []);
});

for (const [name, given] of [
  ["of a session that is over", () => refusal(401, "session_ended")],
  ["of a cookie that is none", () => answer(200, { session: null, user: null, ended: { reason: "expired" } })],
]) {
  test(`a request ${name} is nobody's`, async () => {
    const { options } = asking(given);
    const { data, error } = await sessionFromRequest(requestWith({ cookie: "a=b" }), options);
    assert.deepEqual([data, error], [null, null]);
  });
}

for (const [name, given, code] of [
  ["that is down", () => Promise.reject(new TypeError("down")), "network_error"],
  ["that is another's", () => answer(200, "<h1>Welcome</h1>"), "unexpected_answer"],
  ["with a proxy before it that fails", () => answer(502, "<h1>Bad</h1>"), "unexpected_answer"],
  ["whose database is down", () => refusal(503, "unavailable"), "unavailable"],
]) {
  test(`an API ${name} is an error, and the page asks for itself`, async () => {
    const { options } = asking(given);
    const { data, error, initialSession } = await sessionFromRequest(requestWith({ cookie: "a=b" }), options);
    assert.deepEqual([data, error.code, initialSession], [null, code, undefined]);
    assert.ok(error.detail);
  });
}

test("an address that is not absolute is a mistake that is named", async () => {
  for (const options of [{ baseUrl: "/auth/" }, {}, undefined]) {
    await assert.rejects(sessionFromRequest(requestWith({}), options), /baseUrl must be absolute/);
  }
});

test("a plain server of Node renders for two people at once", async () => {
  const { promise: both, resolve } = Promise.withResolvers?.() ?? withResolvers();
  let waiting = 0;
  const fetch = async (address, { headers }) => {
    if (++waiting === 2) resolve();
    await both;
    const username = headers.cookie.split("=")[1];
    const { session, user } = new Server().body();
    return answer(200, { session: { ...session, id: username }, user: { ...user, username } });
  };
  const site = createServer(async (request, response) => {
    const { data, initialSession } = await sessionFromRequest(request, { baseUrl: BASE, fetch });
    const client = createSessionClient({ baseUrl: "/auth/", initialSession });
    response.end(`${data.user.username} ${client.session.data.user.username}`);
  });
  mock.timers.reset();
  await new Promise((done) => site.listen(0, "127.0.0.1", done));
  const address = `http://127.0.0.1:${site.address().port}/`;
  const pages = ["ada", "grace"].map((name) =>
    globalThis.fetch(address, { headers: { cookie: `sessionid=${name}` } }).then((page) => page.text()),
  );
  assert.deepEqual(await Promise.all(pages), ["ada ada", "grace grace"]);
  site.closeAllConnections();
  site.close();
});

function withResolvers() {
  let resolve;
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
}
