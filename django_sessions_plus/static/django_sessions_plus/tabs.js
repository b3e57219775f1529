// What the tabs of a browser say to each other, and how they take turns. Loaded by pages.

// Milliseconds: whoever has the lock may ask twice, for half a minute each.
const PATIENCE = 75_000;

export function join(inside) {
  const { name, undo } = inside;
  const listener = (message) => hear(inside, message);
  let channel;
  try {
    channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }) => listener(data);
    channel.unref?.();
    undo.push(() => channel.close());
  } catch {
    channel = byStorage(`${name}/said`, listener, undo);
  }
  // A page out of the browser's cache has missed everything since it was left.
  const onReturn = ({ persisted }) => persisted && listener({ type: "look" });
  globalThis.addEventListener?.("pageshow", onReturn);
  undo.push(() => globalThis.removeEventListener?.("pageshow", onReturn));
  return {
    tell(message) {
      try {
        channel.postMessage(message);
      } catch {
        // The storage is denied: other tabs find out when they ask.
      }
    },
    async exclusively(task) {
      const locks = globalThis.navigator?.locks;
      let turn;
      const run = () => (turn ??= task());
      if (!locks) return inTurn(`${name}/turn`, run);
      const stop = new AbortController();
      const timer = setTimeout(() => stop.abort(), PATIENCE);
      const mine = () => {
        clearTimeout(timer);
        return run();
      };
      return locks.request(name, { signal: stop.signal }, mine).catch(run);
    },
  };
}

/** Messages by the local storage, in browsers without channels: only that there is news. */
function byStorage(key, hear, undo) {
  const listener = (event) => event.key === key && event.newValue && hear(JSON.parse(event.newValue));
  addEventListener("storage", listener);
  undo.push(() => removeEventListener("storage", listener));
  return {
    postMessage({ type, id, reason, isNew }) {
      if (type === "state" && !isNew) return;
      localStorage.setItem(key, JSON.stringify(isNew ? { type: "look" } : { type, id, reason }));
      localStorage.removeItem(key);
    },
  };
}

// Milliseconds: how often a claim is looked at, and for how long it holds if its tab has gone.
const GLANCE = 50;
const LEASE = 2000;

const pause = (span) => new Promise((done) => setTimeout(done, span));

/**
 * Take turns by a claim in the local storage, where there are no locks. Tabs that are slow, or denied the storage, may
 * run at the same time all the same: the attempt of a refresh is then the same for both.
 */
async function inTurn(key, run) {
  const own = String(Math.random());
  const read = () => (localStorage.getItem(key) ?? "").split(" ");
  const claim = () => localStorage.setItem(key, `${own} ${Date.now() + LEASE}`);
  const isMine = () => read()[0] === own;
  let renewing;
  try {
    while (!isMine()) {
      // A date that is far off is of a clock that was set since.
      const rest = read()[1] - Date.now();
      if (!(rest > 0 && rest <= LEASE)) claim();
      // Whoever claims at the same time overwrites this.
      await pause(GLANCE);
    }
    renewing = setInterval(() => isMine() && claim(), LEASE / 4);
  } catch {
    // The storage is denied or full.
  }
  try {
    return await run();
  } finally {
    clearInterval(renewing);
    try {
      if (isMine()) localStorage.removeItem(key);
    } catch {
      // Then there was no claim either.
    }
  }
}

async function hear(inside, { type, id, reason, data, left, held, isSignIn }) {
  const { open, store, byCookie, look, leave, enter, outdate, emit, PASSIVE } = inside;
  await open();
  const tokens = inside.tokens();
  if (type === "look") {
    await tokens?.load();
    inside.hasStarted() && look(PASSIVE, true);
  }
  if (type === "used") inside.watcher()?.used();
  if (type === "out" && !store.data) outdate();
  if (type === "out" && store.data?.session.id === id) leave(reason);
  if (type === "state" && data && (byCookie || (await tokens?.unpack(held)))) {
    enter(data.session, data.user, performance.now() + left, isSignIn);
    if (held && !isSignIn) emit("token-refreshed", store.data);
  }
}
