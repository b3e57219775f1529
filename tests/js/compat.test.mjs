// The names of an `Api` object and of a client made of plugins.

import assert from "node:assert/strict";
import { test } from "node:test";

import { DIRECTORY, clock, useLocalStorage } from "./harness.mjs";
import { Server, answer, refusal, settle } from "./server.mjs";

const { Api, authClient, createTypedClient } = await import(new URL("compat.js", DIRECTORY));

const HOST = "https://site.example";
const CREDENTIALS = { email: "ada@example.com", password: "x" };

function apiOf(options = {}) {
  const server = new Server({ clock });
  server.end();
  const start = server.start.bind(server);
  server.start = () => (start(), server.pair());
  const api = new Api({ host: HOST, fetch: server.fetch, ...options });
  return { server, api };
}

/** Let time pass for what waits for it. */
async function within(asking) {
  asking.catch(() => {});
  await clock.pass(2);
  return asking;
}

test("it signs in, knows who is, and signs out", async () => {
  for (const tokenTransport of ["header", "cookie"]) {
    const { server, api } = apiOf({ tokenTransport });
    assert.deepEqual([api.isAuthenticated(), api.getUser()], [false, null]);
    assert.deepEqual(await api.auth.me(), { ok: false, status: 401, data: null, error: null });
    const { ok, data, error } = await api.auth.login("password", CREDENTIALS);
    assert.deepEqual([ok, error, data.user.firstName], [true, null, "Ada"]);
    assert.equal(data.token, tokenTransport === "header" ? server.token : undefined);
    assert.equal(JSON.parse(server.requests.find(({ path }) => path === "sign-in").body).email, "ada@example.com");
    assert.deepEqual([api.isAuthenticated(), api.getUser().username, await api.verifyAuth()], [true, "ada", true]);
    await api.auth.logout();
    server.end();
    assert.equal(api.isAuthenticated(), false);
    assert.equal((await api.auth.me()).ok, false);
    api.client.close();
  }
});

test("a refused sign-in has a message and a code", async () => {
  const { server, api } = apiOf();
  server.answers["sign-in"] = () => refusal(401, "invalid_credentials");
  const { ok, data, error } = await api.auth.login("password", CREDENTIALS);
  assert.deepEqual([ok, data, error.code, error.message], [false, null, "invalid_credentials", "invalid_credentials."]);
  await assert.rejects(api.auth.login("github", {}), /no strategy "github"/);
});

test("tokens are kept beside the item auth, which is written at sign-in and removed at sign-out only", async () => {
  const items = useLocalStorage();
  const written = [];
  const { setItem } = localStorage;
  localStorage.setItem = (key, text) => (written.push(key), setItem(key, text));
  const { api } = apiOf({ storage: localStorage });
  await api.auth.login("password", CREDENTIALS);
  assert.equal(items.get("auth"), "signed in");
  await clock.pass(1000);
  await within(api.auth.me());
  assert.equal(written.filter((key) => key === "auth").length, 1);
  assert.ok(written.length > 2);
  await api.auth.logout();
  assert.deepEqual([...items.keys()].filter((key) => items.get(key)), []);
  api.client.close();
});

test("another page goes on with what is stored, unless somebody has removed auth", async () => {
  const items = useLocalStorage();
  const { server, api } = apiOf({ storage: localStorage });
  await api.auth.login("password", CREDENTIALS);
  const again = () => new Api({ host: HOST, fetch: server.fetch, storage: localStorage });
  assert.equal((await within(again().auth.me())).ok, true);
  items.delete("auth");
  assert.equal((await within(again().auth.me())).ok, false);
});

test("who removes auth has signed out: no token stays, no refresh puts it back, and another sign-in is stored", async () => {
  const items = useLocalStorage();
  const { server, api } = apiOf({ storage: localStorage });
  await api.auth.login("password", CREDENTIALS);
  items.delete("auth");
  await within(api.client.refresh());
  assert.equal(items.size, 0);
  assert.equal((await within(api.auth.me())).ok, false);
  assert.equal(api.getUser(), null);
  assert.ok(server.asked().includes("POST sign-out"));
  await api.auth.login("password", CREDENTIALS);
  assert.equal(items.size, 2);
  items.delete("auth");
  const again = new Api({ host: HOST, fetch: server.fetch, storage: localStorage });
  assert.equal((await within(again.auth.me())).ok, false);
  assert.equal(items.size, 0);
  api.client.close();
});

test("each call looks whether somebody has removed auth", async () => {
  const calls = {
    me: (api) => api.auth.me().then(({ ok }) => ok),
    fetch: (api, server) => api.fetch(`${HOST}/api/things`).then(() => server.requests.at(-1).headers.has("Authorization")),
    accessToken: (api) => api.client.accessToken().then((token) => token !== null),
  };
  for (const [name, call] of Object.entries(calls)) {
    const items = useLocalStorage();
    const { server, api } = apiOf({ storage: localStorage });
    await api.auth.login("password", CREDENTIALS);
    items.delete("auth");
    assert.equal(await within(call(api, server)), false, name);
    assert.deepEqual([api.getUser(), items.size], [null, 0], name);
    api.client.close();
  }
});

test("a storage that is denied costs no more than the reload", async () => {
  useLocalStorage();
  const { api } = apiOf({ storage: localStorage });
  const denied = () => {
    throw new Error("denied");
  };
  assert.equal((await api.auth.login("password", CREDENTIALS)).ok, true);
  Object.assign(localStorage, { getItem: denied, setItem: denied, removeItem: denied });
  assert.equal((await within(api.auth.me())).ok, true);
  api.client.close();
});

test("a page whose session another has signed out stores the next sign-in", async () => {
  const items = useLocalStorage();
  const { api } = apiOf({ storage: localStorage });
  await api.auth.login("password", CREDENTIALS);
  items.clear();
  await api.client.signOut({ local: true });
  await api.client.signIn(CREDENTIALS);
  assert.equal(items.size, 2);
  api.client.close();
});

test("without a network one is signed out here", async () => {
  const { server, api } = apiOf();
  await api.auth.login("password", CREDENTIALS);
  server.answers["sign-out"] = () => Promise.reject(new TypeError("down"));
  await api.auth.logout();
  assert.equal(api.isAuthenticated(), false);
});

test("a server that is down signs nobody out", async () => {
  const { server, api } = apiOf();
  const down = () => Promise.reject(new TypeError("down"));
  server.answers["session?passive=true"] = down;
  server.answers.session = down;
  await assert.rejects(within(apiOf({ fetch: down, tokenTransport: "cookie" }).api.auth.me()), (error) => error.cause.code === "network_error");
  await api.auth.login("password", CREDENTIALS);
  const { ok, data } = await within(api.auth.me());
  assert.deepEqual([ok, data.user.username], [true, "ada"]);
  api.client.close();
});

test("changes of who is signed in are told", async () => {
  const told = [];
  const { api } = apiOf({ onAuthStateChange: ({ user, verified }) => told.push([user?.username ?? null, verified]) });
  await settle();
  await api.auth.login("password", CREDENTIALS);
  await api.auth.me();
  await api.auth.logout();
  assert.deepEqual(told, [[null, true], ["ada", true], [null, true]]);
  api.client.close();
});

test("a server asks whose request it is", async () => {
  const { fetch } = globalThis;
  globalThis.fetch = async () => answer(200, new Server().body());
  try {
    const request = new Request("https://site.example/", { headers: { cookie: "sessionid=a" } });
    const user = await new Api({ host: HOST }).auth.resolveAuthFromRequest(request);
    assert.equal(user.username, "ada");
  } finally {
    globalThis.fetch = fetch;
  }
});

test("a client made of plugins has their options, and a store of nanostores' name", async () => {
  const server = new Server({ clock });
  const client = createTypedClient({
    plugins: [authClient({ baseUrl: `${HOST}/auth/`, fetch: server.fetch, session: { refetchOnWindowFocus: true } })],
  });
  await client.auth.getSession();
  assert.equal(client.$session, client.session);
  assert.equal(client.$session.get().data.user.username, "ada");
  client.close();
});
