// The tokens of the transports "bearer" and "jwt": in memory, and where `storage` says. With the
// transport "cookie" this file is not even loaded.

const now = () => performance.now();
const ATTEMPT = /^[0-9a-f]{32}$/;

export function createTokens({ transport, storage, refreshCookie, isHome, isTemporary, name, send, PASSIVE }) {
  const isPair = transport === "jwt";
  const isOwn = typeof storage === "object";
  // Memory is one tab's, and so is the session storage; any other place is read by all tabs.
  const isShared = isOwn ? !isSessionStorage(storage?.beneath ?? storage) : storage === "local";
  // Expo's SecureStore takes no other signs in a key.
  const key = isOwn ? name.replace(/[^a-z0-9.-]/gi, (sign) => `_${sign.charCodeAt()}`) : name;
  // Named at each use: a browser that denies the storage throws already then.
  const place = () => (isOwn ? storage : globalThis[`${storage}Storage`]);
  // What a refresh by cookie is known by that has had no answer yet.
  const attemptKey = `${name}/attempt`;
  // { access, refresh, turn, attempt, life, until }; the last two are of this page's clock, and not stored.
  let current;
  let written;
  let isStored = false;
  // What the cookie was sent with, while there is no answer.
  let tried;

  const text = ({ access, refresh, turn, attempt }) => JSON.stringify({ access, refresh, turn, attempt });

  async function write(held) {
    current = held;
    const before = written;
    written = text(held);
    isStored = false;
    try {
      await place()?.setItem(key, written);
      isStored = true;
    } catch {
      written = before;
    }
  }

  async function keep(held) {
    await write(held);
    // Full or denied. An older one must not stay there: whoever used it would be taken for a thief.
    if (!isStored) await quietly(() => place()?.removeItem(key));
  }

  const noted = () => quietly(() => localStorage.getItem(attemptKey));

  /** Ask whether there is a cookie: a refusal would be an error on the console of everybody who is signed out. */
  async function hasCookie() {
    const { data, error } = await send("GET", PASSIVE, {});
    return !!error || data.refresh_cookie === true;
  }

  /** Return what the server knows this refresh by, also if its answer is lost: stored before it is sent. */
  async function attemptFor(refresh) {
    if (refresh) {
      if (!current.attempt) await write({ ...current, attempt: randomHex() });
      return current?.attempt;
    }
    const left = tried ?? (await noted());
    tried = ATTEMPT.test(left) ? left : randomHex();
    if (tried) await quietly(() => localStorage.setItem(attemptKey, tried));
    return tried;
  }

  /** The answer has come: the next refresh is another attempt. */
  async function finish(refresh, attempt, { error }) {
    if (error && isTemporary(error)) return;
    // A new pair takes the place of the attempt together with that of its token.
    if (refresh && error && current?.attempt === attempt) await write({ ...current, attempt: undefined });
    if (!refresh) await forget(attempt);
  }

  /** Forget the attempt by cookie, unless another tab has stored its own meanwhile. */
  async function forget(attempt) {
    tried = undefined;
    if (attempt && (await noted()) === attempt) await quietly(() => localStorage.removeItem(attemptKey));
  }

  /** Forget it, whoever has left it. */
  const forgetAny = async () => refreshCookie && forget(tried ?? (await noted()));

  return {
    access: () => current?.access,

    /** What the next refresh needs, for whoever is about to drop it. */
    held: () => current,

    /** Tell whether to renew before the next request: in time, and when only the cookie is there. */
    isDue(mayBeSignedIn) {
      if (!isPair || !current) return isPair && refreshCookie && mayBeSignedIn;
      const { until, life } = current;
      return until - now() < Math.min(30, life / 10) * 1000;
    },

    /** Ask for the next pair; resolves to nothing where there is no refresh token. */
    renew: isPair
      ? async (passive = false) => {
          const { refresh } = current ?? {};
          if (!refresh && !(refreshCookie && (current || (await hasCookie())))) return undefined;
          const attempt = await attemptFor(refresh);
          const body = { refresh, attempt, passive };
          const result = await send("POST", "token/refresh", refresh ? { body } : { body, csrf: true });
          await finish(refresh, attempt, result);
          return result;
        }
      : undefined,

    /** Read what another tab, or an earlier page, has stored. */
    load: () =>
      quietly(async () => {
        const found = await place()?.getItem(key);
        const stored = found && found !== written && JSON.parse(found);
        // An older one is used up.
        if (!stored || stored.turn < current?.turn) return;
        written = found;
        isStored = true;
        const { life, until } = stored.access === current?.access ? current : {};
        current = { ...stored, life, until };
      }),

    /** Take the tokens out of an answer. Where there are some, returns what stores them. */
    put({ access, token = access, refresh, expires_in: life, session }, asked) {
      const turn = Math.max((current?.turn ?? 0) + 1, Date.now());
      const kept = token && keep({ access: token, refresh, turn, life, until: asked + life * 1000 });
      // What was left before a sign-in was about another session.
      return kept && session ? kept.then(forgetAny) : kept;
    },

    /**
     * Return what another tab needs: which tokens to read where all tabs read them, else the tokens themselves;
     * nothing where the page is of another origin than the API.
     */
    pack() {
      if (!current) return undefined;
      if (isShared && isStored) return { turn: current.turn };
      return isHome ? { ...current, attempt: undefined, left: current.until - now() } : undefined;
    },

    /** Take there what a tab has packed; resolves to false where one's own are newer, or there are none. */
    async unpack(held) {
      if (!held || held.turn <= current?.turn) return false;
      if (held.access) {
        keep({ ...held, until: now() + held.left });
        return true;
      }
      // Messages may be faster than what was stored before them.
      for (let times = 0; times < 20 && !(current?.turn >= held.turn); times++) {
        if (times) await new Promise((done) => setTimeout(done, 50));
        await this.load();
      }
      return current?.turn >= held.turn;
    },

    /** Forget them, also in the storage unless another tab has put others there. */
    drop() {
      const mine = written;
      current = written = undefined;
      return quietly(async () => {
        await forgetAny();
        if (mine && ((await place()?.getItem(key)) ?? mine) === mine) await place()?.removeItem(key);
      });
    },
  };
}

function isSessionStorage(place) {
  try {
    return place === globalThis.sessionStorage;
  } catch {
    return false;
  }
}

/** Return 128 random bits; nothing where there is no source of them, for a guess must not do. */
const randomHex = () =>
  globalThis.crypto?.getRandomValues &&
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** What is denied or broken costs no more than what would have been stored there. */
async function quietly(task) {
  try {
    return await task();
  } catch {
    return undefined;
  }
}
