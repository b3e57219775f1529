// Stands in for the server and for what a browser has, so that time and failures can be had at will.

import { mock } from "node:test";

export const ADDRESS = "https://site.example/auth/";
export const USER = { id: 7, username: "ada", first_name: "Ada", is_staff: false };

/** What is in force: a clock of its own, timers that wait for it, and no clock of the machine. */
export function useClock() {
  let at = 5000;
  mock.method(performance, "now", () => at);
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  return {
    /** Let seconds pass, and everything happen that has to. */
    async pass(seconds) {
      const until = at + seconds * 1000;
      while (at < until) {
        const step = Math.min(until - at, Math.max(250, seconds * 10));
        at += step;
        mock.timers.tick(step);
        await settle();
      }
    },
    now: () => at,
  };
}

/** Let promises that wait for nothing else come out. */
export async function settle() {
  for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
  await new Promise((done) => setImmediate(done));
}

export function answer(status, body, headers = {}) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return new Response(status === 204 ? null : text, { status, headers });
}

export const refusal = (status, code, more = {}) => answer(status, { code, detail: `${code}.`, ...more });

const plainRequest = (url, { method = "GET", headers, body = "", credentials }) => {
  return { url, method, headers: new Headers(headers), credentials, text: async () => body };
};

/** A server with one session; `requests` is what it was asked. */
export class Server {
  requests = [];
  clock;
  answers = {};
  expiresAt = null;
  token = "token-1";

  constructor({ clock = { now: () => 0 }, age = 3600 } = {}) {
    this.clock = clock;
    this.age = age;
    this.start();
  }

  /** The server's own time in milliseconds, which no page knows. */
  get time() {
    return Date.UTC(2026, 0, 5, 9) + this.clock.now();
  }

  start() {
    this.isSignedIn = true;
    this.expiresAt = this.time + this.age * 1000;
  }

  end(reason) {
    this.isSignedIn = false;
    this.reason = reason;
  }

  body() {
    return {
      session: {
        id: "session-1",
        created_at: "2026-01-05T09:00:00Z",
        expires_at: new Date(this.expiresAt).toISOString(),
        expires_in: Math.ceil((this.expiresAt - this.time) / 1000),
        device: { label: "Firefox on Linux", browser: "Firefox", os: "Linux", kind: "desktop" },
        is_current: true,
      },
      user: USER,
    };
  }

  fetch = async (address, init = {}) => {
    // A runtime without AbortController has no Request either.
    const request = address instanceof Request ? address : plainRequest(address, init);
    const { pathname, search } = new URL(request.url);
    const isPassive = search === "?passive=true";
    const path = pathname.replace("/auth/", "") + (isPassive ? "" : search);
    const body = await request.text();
    const { method, url, headers } = request;
    // Of a request that the client has not made itself, the first argument has them.
    const credentials = init.credentials ?? request.credentials;
    const sent = { method, path, isPassive, url, headers, body, credentials };
    this.requests.push(sent);
    const special = this.answers[path];
    const made = special && (await (Array.isArray(special) ? special.shift() : special)?.(sent));
    return made ?? this.usual(sent);
  };

  usual({ path, headers, body }) {
    if (this.isSignedIn && this.time > this.expiresAt) this.end();
    const bearer = headers.get("Authorization");
    if (path === "sign-in") {
      this.start();
      const { refresh_cookie: asCookie } = JSON.parse(body || "{}");
      this.hasRefreshCookie ||= asCookie;
      return answer(200, { ...this.body(), ...this.disclosed, ...(asCookie && { refresh: undefined }) });
    }
    if (path === "sign-out") return answer(204);
    if (path === "token/refresh") {
      if (!this.isSignedIn) return this.ended();
      const { refresh: sent } = JSON.parse(body || "{}");
      return answer(200, { ...this.pair(), ...(!sent && { refresh: undefined }) });
    }
    if (bearer && (!this.isSignedIn || bearer !== `Bearer ${this.token}`)) return this.ended();
    if (path === "session") {
      const told = this.isSignedIn && (bearer || this.takesCookies) ? this.body() : this.nobody();
      return answer(200, { ...told, refresh_cookie: (!bearer && this.hasRefreshCookie) || undefined });
    }
    return answer(200, { results: [], next: null, previous: null });
  }

  ended() {
    return refusal(401, "session_ended", { reason: this.reason });
  }

  /** Told once, as to a browser whose cookie goes with the answer. */
  nobody() {
    const { reason } = this;
    this.reason = undefined;
    return { session: null, user: null, ended: reason && { reason } };
  }

  disclosed = {};
  /** False where the client has no cookie. */
  takesCookies = true;
  hasRefreshCookie = false;

  pair() {
    this.number = (this.number ?? 0) + 1;
    this.token = `access-${this.number}`;
    this.disclosed = {
      access: this.token,
      refresh: `refresh-${this.number}`,
      expires_in: 900,
      refresh_expires_at: new Date(this.expiresAt).toISOString(),
    };
    return this.disclosed;
  }

  asked() {
    return this.requests.map(({ method, path }) => `${method} ${path}`);
  }
}

/** Give the tests a document, with the cookies and meta tags of a page. */
export function useDocument({ cookie = "", meta } = {}) {
  globalThis.origin = "https://site.example";
  globalThis.document = {
    baseURI: "https://site.example/",
    cookie,
    visibilityState: "visible",
    querySelector: () => (meta ? { content: meta } : null),
    addEventListener() {},
    removeEventListener() {},
  };
  return globalThis.document;
}
