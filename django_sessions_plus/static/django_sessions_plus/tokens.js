// The tokens of the transports "bearer" and "jwt": in memory, and where `storage` says. With the
// transport "cookie" this file is not even loaded.

const now = () => performance.now();

export function createTokens({ transport, storage, refreshCookie, name, send }) {
  const isPair = transport === "jwt";
  // Named at each use: a browser that denies the storage throws already then.
  const area = () => globalThis[`${storage}Storage`];
  const place = storage.get
    ? storage
    : {
        get: () => area()?.getItem(name),
        set: (text) => area()?.setItem(name, text),
        remove: () => area()?.removeItem(name),
      };
  // { access, refresh, turn, life, until }; the last is of this page's clock, and not stored.
  let current;
  let written;

  async function keep(held) {
    current = held;
    const { access, refresh, turn } = held;
    written = JSON.stringify({ access, refresh, turn });
    try {
      await place.set(written);
    } catch {
      // Full or denied. An older one must not stay there: whoever used it would be taken for a thief.
      await attempt(() => place.remove());
    }
  }

  return {
    access: () => current?.access,

    /** Tell whether to renew before the next request: in time, and when only the cookie is there. */
    isDue(mayBeSignedIn) {
      if (!isPair || !current) return isPair && refreshCookie && mayBeSignedIn;
      const { until, life } = current;
      return until - now() < Math.min(30, life / 10) * 1000;
    },

    /** Ask for the next pair; nothing where there is no refresh token. */
    renew: isPair
      ? (passive = false) => {
          const { refresh } = current ?? {};
          if (refresh) return send("POST", "token/refresh", { body: { refresh, passive } });
          return refreshCookie ? send("POST", "token/refresh", { body: { passive }, csrf: true }) : undefined;
        }
      : undefined,

    /** Read what another tab, or an earlier page, has stored. */
    load: () =>
      attempt(async () => {
        const text = await place.get();
        const stored = text && text !== written && JSON.parse(text);
        // An older one is used up.
        if (!stored || stored.turn < current?.turn) return;
        written = text;
        current = stored;
      }),

    /** Take the tokens out of an answer. Where there are some, returns what stores them. */
    put({ access, token = access, refresh, expires_in: life }, asked) {
      const turn = Math.max((current?.turn ?? 0) + 1, Date.now());
      return token && keep({ access: token, refresh, turn, life, until: asked + life * 1000 });
    },

    /** Give another tab what it needs, and take it there; false where one's own are newer. */
    pack: () => current && { ...current, left: current.until - now() },
    unpack(held) {
      if (held?.turn <= current?.turn) return false;
      if (held) keep({ ...held, until: now() + held.left });
      return true;
    },

    /** Forget them, also in the storage unless another tab has put others there. */
    drop() {
      const mine = written;
      current = written = undefined;
      return attempt(async () => mine && (await place.get()) === mine && place.remove());
    },
  };
}

/** What is denied or broken costs no more than what would have been stored there. */
async function attempt(task) {
  try {
    return await task();
  } catch {
    return undefined;
  }
}
