// For code that was written for an `Api` object, or for a client made of plugins: their names, on this client.

import { createSessionClient } from "./client.js";

const KEY = "auth";

/**
 * Keeps tokens beside the item "auth", which tells other tabs of sign-in and sign-out by the event "storage", and not of
 * each refresh. Who removes that item has signed out: `onLeft` is called when a refresh finds that.
 */
function marked(storage, onLeft) {
  const isThere = async () => (await storage.getItem(KEY)) != null;
  // Whether it was there when it was last needed.
  let wasThere = false;
  return {
    beneath: storage,
    async getItem(key) {
      if (await isThere()) {
        wasThere = true;
        return storage.getItem(key);
      }
      // The next person at this computer must not find the tokens.
      await storage.removeItem(key);
      return null;
    },
    async setItem(key, text) {
      if (!(await isThere())) {
        // A refresh must not sign in anew whoever has signed out.
        if (wasThere) {
          onLeft();
          throw new Error(`"${KEY}" was removed.`);
        }
        await storage.setItem(KEY, "signed in");
      }
      wasThere = true;
      await storage.setItem(key, text);
    },
    async removeItem(key) {
      wasThere = false;
      await storage.removeItem(key);
      await storage.removeItem(KEY);
    },
    /** Tell whether somebody has removed the item meanwhile; a storage that is denied tells nothing. */
    isLeft: () => isThere().then((is) => wasThere && !is, () => false),
  };
}

/** Look before each of these whether somebody has signed out. */
function heed(client, look) {
  for (const verb of ["getSession", "signIn", "accessToken", "fetch"]) {
    const run = client[verb];
    client[verb] = client.auth[verb] = async (...given) => {
      await look();
      return run(...given);
    };
  }
}

export class Api {
  constructor({ host = "", path = "/auth/", storage, tokenTransport = "header", onAuthStateChange, ...options } = {}) {
    const byCookie = tokenTransport === "cookie";
    const leave = () => this.client.signOut({ local: true });
    const kept = storage && !byCookie ? marked(storage, leave) : undefined;
    this.client = createSessionClient({
      baseUrl: host.replace(/\/*$/, "") + path,
      transport: byCookie ? "cookie" : "jwt",
      storage: kept ?? "memory",
      refreshCookie: false,
      refetchOnWindowFocus: false,
      ...options,
    });
    if (kept) heed(this.client, async () => (await kept.isLeft()) && leave());
    const answer = async ({ error }) => {
      const data = error ? null : this.client.session.get().data;
      const token = (data && (await this.client.accessToken())) ?? undefined;
      return {
        ok: !!data,
        status: error ? error.status : data ? 200 : 401,
        data: data ? { user: data.user, token } : null,
        error: error ? { ...error, message: error.detail } : null,
      };
    };
    this.auth = {
      me: async () => {
        const { data, error } = await this.client.getSession();
        // Who takes "not ok" for the end of the session must not hear it of a server that is down.
        if (error && !data) throw new TypeError(error.detail, { cause: error });
        return answer({ error: null });
      },
      login: async (strategy, credentials) => {
        if (strategy !== "password") throw new TypeError(`There is no strategy ${JSON.stringify(strategy)}, only "password".`);
        return answer(await this.client.signIn(credentials));
      },
      logout: async () => {
        const { error } = await this.client.signOut();
        if (error) await this.client.signOut({ local: true });
      },
      resolveAuthFromRequest: async (request) => {
        const { sessionFromRequest } = await import("./server.js");
        const { data } = await sessionFromRequest(request, { baseUrl: host.replace(/\/*$/, "") + path });
        return data?.user ?? null;
      },
    };
    if (onAuthStateChange) {
      let before;
      this.client.session.listen(() => {
        const state = this.getAuthState();
        if (state.verified && state.user !== before) onAuthStateChange(state);
        before = state.user;
      });
    }
  }

  /** Ask the server; tells whether somebody is signed in. */
  async verifyAuth() {
    return (await this.auth.me()).ok;
  }

  /** Who is signed in, as far as is known; null before anybody has asked. */
  getUser() {
    return this.client.session.get().data?.user ?? null;
  }

  isAuthenticated() {
    return this.getUser() !== null;
  }

  getAuthState() {
    return { user: this.getUser(), verified: !this.client.session.get().isPending };
  }

  /** `fetch` in the name of the session. */
  fetch(input, init) {
    return this.client.fetch(input, init);
  }
}

/** The options of the client, as those of a plugin: `authClient({ baseUrl, session: { refetchInterval } })`. */
export const authClient = ({ session, ...options } = {}) => ({ ...options, ...session });

export const createTypedClient = ({ plugins = [], ...options } = {}) =>
  createSessionClient(Object.assign({}, options, ...plugins));
