// The list of sessions as a store: who asks for it, what an end does to it, and its pages.

import assert from "node:assert/strict";
import { test } from "node:test";

import { DIRECTORY, clock, make } from "./harness.mjs";
import { Server, answer, refusal, settle } from "./server.mjs";

const { createSessionList } = await import(new URL("list.js", DIRECTORY));

const row = (id, more) => ({ id, is_current: id === "session-1", ...more });
const pageOf = (ids, more = {}) =>
  answer(200, { results: ids.map((id) => row(id)), next: null, previous: null, ...more });
const ids = (list) => list.get().sessions.map(({ id }) => id);

async function opened(answers) {
  const server = new Server({ clock });
  Object.assign(server.answers, answers);
  const client = make(server, { initialSession: server.body() });
  const list = createSessionList(client);
  const silence = list.listen(() => {});
  await settle();
  return { server, client, list, silence };
}

test("nobody is asked before somebody listens, and again after a pause", async () => {
  const server = new Server({ clock });
  const client = make(server, { initialSession: server.body() });
  const list = createSessionList(client);
  await settle();
  assert.deepEqual(server.asked(), []);
  assert.equal(list.get().isLoading, true);
  list.listen(() => {})();
  await settle();
  const silence = list.listen(() => {});
  await settle();
  assert.deepEqual(server.asked(), ["GET sessions", "GET sessions"]);
  assert.equal(list.get().isLoading, false);
  silence();
});

test("a session leaves the list at once, and comes back if its end fails", async () => {
  let finish;
  const { list } = await opened({
    sessions: () => pageOf(["session-1", "a", "b"]),
    "sessions/a": () => new Promise((done) => (finish = done)),
  });
  const ending = list.revoke("a");
  assert.deepEqual(ids(list), ["session-1", "b"]);
  await settle();
  finish(refusal(403, "reauthentication_required"));
  assert.equal((await ending).error.code, "reauthentication_required");
  assert.deepEqual(ids(list), ["session-1", "a", "b"]);
  assert.equal(list.get().error.code, "reauthentication_required");
});

test("one that somebody else has ended is gone without an error", async () => {
  const { list } = await opened({
    sessions: () => pageOf(["session-1", "a"]),
    "sessions/a": () => refusal(404, "not_found"),
  });
  await list.revoke("a");
  assert.deepEqual(ids(list), ["session-1"]);
  assert.equal(list.get().error, null);
});

test("two ends at once, of which one fails, bring back only that one", async () => {
  const { list } = await opened({
    sessions: () => pageOf(["session-1", "a", "b"]),
    "sessions/a": () => answer(204),
    "sessions/b": () => refusal(403, "permission_denied"),
  });
  const both = [list.revoke("a"), list.revoke("b")];
  assert.deepEqual(ids(list), ["session-1"]);
  await Promise.all(both);
  assert.deepEqual(ids(list), ["session-1", "b"]);
});

test("the others are ended on all pages, and the list is asked for anew", async () => {
  let isOver = false;
  const { list } = await opened({
    sessions: () => (isOver ? pageOf(["session-1"]) : pageOf(["session-1", "a"], { next: "/auth/sessions?cursor=2" })),
    "sessions/revoke": () => ((isOver = true), answer(200, { revoked: 2 })),
  });
  assert.equal(list.get().hasNext, true);
  assert.equal((await list.revokeOthers()).data.revoked, 2);
  await settle();
  assert.deepEqual(ids(list), ["session-1"]);
  assert.equal(list.get().hasNext, false);
});

test("pages are turned, and an empty one is left", async () => {
  const { list } = await opened({
    sessions: () => pageOf(["session-1", "a"], { next: "https://site.example/auth/sessions?cursor=2" }),
    "sessions?cursor=2": () => pageOf(["b"], { previous: "https://site.example/auth/sessions?cursor=1" }),
    "sessions?cursor=1": () => pageOf(["session-1", "a"], { next: "https://site.example/auth/sessions?cursor=2" }),
    "sessions/b": () => answer(204),
  });
  await list.previous();
  await list.next();
  assert.deepEqual([ids(list), list.get().hasPrevious, list.get().hasNext], [["b"], true, false]);
  await list.previous();
  assert.deepEqual(ids(list), ["session-1", "a"]);
  await list.next();
  await list.revoke("b");
  await settle();
  assert.deepEqual(ids(list), ["session-1", "a"]);
});

test("a later page that comes first is not overwritten by an earlier one", async () => {
  const waiting = [];
  const { list } = await opened({ sessions: () => new Promise((done) => waiting.push(done)) });
  const again = list.reload();
  await settle();
  waiting[1](pageOf(["new"]));
  await again;
  waiting[0](pageOf(["old"]));
  await settle();
  assert.deepEqual(ids(list), ["new"]);
});

test("after a sign-out there is nothing of the person's", async () => {
  const { client, list } = await opened({ sessions: () => pageOf(["session-1", "a"]) });
  await client.signOut();
  assert.deepEqual([ids(list), list.get().isLoading], [[], false]);
});

test("an end that fails after a sign-out is told to nobody else", async () => {
  let fail;
  const { client, list } = await opened({
    sessions: () => pageOf(["session-1", "a"]),
    "sessions/a": () => new Promise((done) => (fail = done)),
  });
  const ending = list.revoke("a");
  await settle();
  await client.signOut();
  fail(refusal(403, "permission_denied"));
  assert.equal((await ending).error.code, "permission_denied");
  assert.deepEqual([ids(list), list.get().error], [[], null]);
});

test("a failure is told, and what was there stays", async () => {
  const answers = [pageOf(["session-1"]), refusal(503, "unavailable")];
  const { list } = await opened({ sessions: () => answers.shift() });
  await list.reload();
  assert.deepEqual([ids(list), list.get().error.code], [["session-1"], "unavailable"]);
});
