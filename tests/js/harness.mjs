// A clock and clients for each test, which end with it.

import { afterEach, beforeEach, mock } from "node:test";

import { ADDRESS, Server, useClock } from "./server.mjs";

export const DIRECTORY = new URL("../../django_sessions_plus/static/django_sessions_plus/", import.meta.url);

// So that no test has to wait for a file.
for (const part of ["tokens", "recover", "watch", "verbs", "fetch", "tabs", "idle"]) {
  await import(new URL(`${part}.js`, DIRECTORY));
}
export const { createSessionClient } = await import(new URL("client.js", DIRECTORY));

const EVENTS = ["initial-session", "signed-in", "signed-out", "token-refreshed", "expiring", "expired"];
// What a page has, and Node may not have.
const OF_PAGES = ["document", "origin", "window", "localStorage", "navigator"];
const BEFORE = OF_PAGES.map((name) => Object.getOwnPropertyDescriptor(globalThis, name));

export let clock;
let clients;

beforeEach(() => {
  clock = useClock();
  clients = [];
});

afterEach(() => {
  for (const client of clients) client.close();
  mock.timers.reset();
  mock.restoreAll();
  OF_PAGES.forEach((name, at) => {
    delete globalThis[name];
    if (BEFORE[at]) Object.defineProperty(globalThis, name, BEFORE[at]);
  });
});

/** Make a client; `told` has its events, but those of any sign-in and refresh. */
export function make(server, options = {}, events = EVENTS.filter((type) => !/initial|token/.test(type))) {
  const client = createSessionClient({ baseUrl: ADDRESS, fetch: server.fetch, ...options });
  client.told = [];
  for (const type of events) {
    client.on(type, (detail) => client.told.push(detail?.reason ? `${type}: ${detail.reason}` : type));
  }
  clients.push(client);
  return client;
}

export const makeTelling = (server, options) => make(server, options, EVENTS);

export const withTokens = (transport, more) => {
  const server = new Server({ clock });
  server.disclosed = transport === "jwt" ? server.pair() : { token: server.token };
  return [server, make(server, { transport, storage: place(), ...more })];
};

/** A storage of one's own, that answers later. */
export function place(text = null) {
  const kept = { text, log: [], keys: new Set() };
  return {
    kept,
    getItem: async (key) => (kept.keys.add(key), kept.text),
    async setItem(key, to) {
      kept.keys.add(key);
      kept.log.push(to);
      kept.text = to;
    },
    async removeItem() {
      kept.text = null;
    },
  };
}

/** Give the tests a storage as browsers have it; a Map tells what is in it. */
export function useLocalStorage() {
  useLocks();
  const items = new Map();
  globalThis.localStorage = {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, text) => void items.set(key, String(text)),
    removeItem: (key) => void items.delete(key),
  };
  return items;
}

/** Let tabs take turns as browsers do, or by the storage alone. */
export function useLocks(locks = { request: async (_, __, task) => task() }) {
  Object.defineProperty(globalThis, "navigator", { value: { onLine: true, locks }, configurable: true, writable: true });
}

/** Run a task while something of the runtime is not there. */
export async function without(names, task) {
  const before = names.map((name) => Object.getOwnPropertyDescriptor(globalThis, name));
  for (const name of names) Object.defineProperty(globalThis, name, { value: undefined, configurable: true, writable: true });
  try {
    return await task();
  } finally {
    names.forEach((name, at) => before[at] ? Object.defineProperty(globalThis, name, before[at]) : delete globalThis[name]);
  }
}
