// See docs/browser-client.md. Only tokens.js keeps tokens, where there are some.

// Until what another tab did is known; without locks it may still be under way.
const DELAY = globalThis.navigator?.locks ? 50 : 500;
// Asks without a person behind it, so that an open page alone holds no session open.
const PASSIVE = "session?passive=true";

// Nobody can set this clock.
const now = () => performance.now();
const refused = (error) => ({ data: null, error });
const NOBODY = refused({ status: 401, code: "not_authenticated", detail: "Sign in first." });
const UNREACHABLE = refused({ status: 0, code: "network_error", detail: "No answer." });
const isTemporary = ({ status, code }) =>
  !status || status === 429 || status >= 500 || code === "session_interrupted";

export function createSessionClient({
  baseUrl = "/auth/",
  transport = "cookie",
  storage = "memory",
  refreshCookie = transport === "jwt" && storage === "memory",
  credentials = transport === "cookie" || refreshCookie ? "same-origin" : "omit",
  fetch: fetcher = (...sent) => globalThis.fetch(...sent),
  csrf: { cookie = "csrftoken", header = "X-CSRFToken", meta = "csrf-token" } = {},
  initialSession,
  refetchInterval = 0,
  refetchOnWindowFocus = true,
  refetchWhenOffline = false,
  expiringBefore = 60,
  idleAfter = 0,
  onStateChange,
} = {}) {
  const page = globalThis.document;
  const base = new URL(baseUrl.replace(/\/*$/, "/"), page?.baseURI);
  const name = `sessions-plus/${transport}/${base.href}`;
  const byCookie = transport === "cookie";

  const [on, emit] = createEvents();
  const [store, set] = createStore(on, emit, () => hasStarted || getSession());
  const closing = new AbortController();
  const { signal } = closing;
  const tabs = createTabs(name, hear);
  // What was asked before this changed is not believed after it.
  let epoch = 0;
  // When the session expires if nothing moves that.
  let deadline = Infinity;
  let failures = 0;
  let askedAt = -Infinity;
  // Why the session is over: who asks first may be the only one to be told.
  let told;
  const loading = {};
  let hasStarted, opened, recovering, timer, retry, warned, idle, tokens, csrfTold, sender;

  const access = () => tokens?.access();
  const known = (error = null) => ({ data: store.data, error });
  const isAnonymous = () => !store.isPending && !store.data;

  /** Somebody is signed in, until `expires`. Tells whether that is news; a sign-in always is. */
  function enter(session, user, expires, isSignIn) {
    const { data: before, isPending } = store;
    const parts = { session: keep(before?.session, session), user: keep(before?.user, user) };
    const isNew = before?.session.id !== session.id || before.user.id !== user.id;
    if (isNew) epoch++;
    told = null;
    deadline = expires || Infinity;
    set({ data: keep(before, parts), error: null, isPending: false });
    plan();
    if (isNew && (isSignIn || !isPending)) emit("signed-in", store.data);
    return isNew;
  }

  /** Nobody is signed in, or no more. */
  async function leave(reason) {
    const { data } = store;
    if (reason === "session_ended" && now() >= deadline) reason = "expired";
    epoch++;
    clearTimeout(timer);
    const dropped = tokens?.drop();
    set({ data: null, error: null, isPending: false });
    if (data && reason === "expired") emit(reason, data);
    if (data) emit("signed-out", { reason, ...data });
    await dropped;
  }

  function over(reason) {
    const id = store.data?.session.id;
    tabs.tell(id ? { type: "out", id, reason } : { type: "look" });
    return leave(reason);
  }

  /** Take over an answer. Tells whether somebody is signed in by it. */
  async function take({ data: body, asked }, isTold, isSignIn) {
    const stored = tokens?.put(body ?? {}, asked);
    let isNew;
    if (body?.session) {
      const { expires_in: left, ...session } = body.session;
      isNew = enter(camel(session), camel(body.user), asked + left * 1000, isSignIn);
    }
    if ((stored || isNew) && !isTold) {
      const left = deadline - now();
      tabs.tell({ type: "state", data: store.data, left, held: tokens?.pack(), isNew, isSignIn });
    }
    await stored;
    return !!body?.session;
  }

  async function hear({ type, id, reason, data, left, held, isSignIn }) {
    await open();
    if (type === "look") await tokens?.load(), look(PASSIVE, true);
    if (type === "used") idle?.used();
    if (type === "out" && !store.data) epoch++;
    if (type === "out" && store.data?.session.id === id) leave(reason);
    if (type === "state" && tokens?.unpack(held) !== false && data) {
      enter(data.session, data.user, now() + left, isSignIn);
    }
  }

  // Requests

  function csrfToken() {
    const found = page?.cookie.split("; ").find((each) => each.startsWith(`${cookie}=`));
    return found?.slice(cookie.length + 1) ?? csrfTold ?? page?.querySelector(`meta[name="${meta}"]`)?.content;
  }

  // Has the CSRF token told.
  const prime = () => once("GET", PASSIVE, {});

  async function once(method, path, { body, token, csrf }) {
    const headers = {};
    if (body) headers["Content-Type"] = "application/json";
    if (token) headers.Authorization = `Bearer ${token}`;
    if (csrf) headers[header] = csrfToken() ?? "";
    const asked = now();
    try {
      const response = await fetcher(new URL(path, base).href, {
        method,
        headers,
        body: body && JSON.stringify(body),
        credentials,
        redirect: "error",
        // Two refreshes are within the server's grace.
        signal: AbortSignal.timeout(path === "token/refresh" ? 4500 : 20000),
      });
      const result = answer(response, await response.text(), path);
      csrfTold = response.headers.get(header) ?? csrfTold;
      told = (result.error ?? result.data?.ended)?.reason ?? told;
      return { ...result, asked };
    } catch {
      return UNREACHABLE;
    }
  }

  async function send(method, path, sent) {
    if (sent.csrf && !csrfToken()) await prime();
    const before = csrfToken();
    const result = await once(method, path, sent);
    if (result.error?.code !== "csrf_failed") return result;
    await prime();
    return csrfToken() === before ? result : once(method, path, sent);
  }

  function open() {
    opened ??= byCookie || import("./tokens.js").then(begin, () => (opened = null));
    return opened;
  }

  function begin({ createTokens }) {
    tokens = createTokens({ transport, storage, refreshCookie, name, send });
    return tokens.load();
  }

  /** Have a token to send, or tell why not. */
  async function ready(isAsked, isPassive) {
    await open();
    if (byCookie) return null;
    if (!tokens) return UNREACHABLE.error;
    const error = tokens.isDue(isAsked || !isAnonymous()) && (await recover(access(), isPassive));
    return access() ? null : error || NOBODY.error;
  }

  /** Attempt a request, and once more after a 401 that can be mended. */
  async function call(attempt, isAsked, isPassive) {
    let error = await ready(isAsked, isPassive);
    if (error) return refused(error);
    const token = access();
    const result = await attempt(token);
    if (result.error?.status !== 401) return result;
    error = await recover(token, isPassive);
    return error ? refused(error) : attempt(access());
  }

  const request = (method, path, body) =>
    call(
      (token) => send(method, path, { body, token, csrf: byCookie && method !== "GET" }),
      /^session\b/.test(path),
      path === PASSIVE,
    );

  /** Get past a refusal of `token`: null where another try is worth it, else the error. */
  function recover(token, isPassive) {
    recovering ??= tabs.exclusively(() => settle(token, isPassive)).finally(() => (recovering = null));
    return recovering;
  }

  async function settle(token, isPassive) {
    const at = epoch;
    const isOvertaken = () => epoch !== at || access() !== token;
    const outcome = () => (isAnonymous() ? NOBODY.error : null);
    if (token || store.data) await new Promise((done) => setTimeout(done, DELAY));
    await tokens?.load();
    if (isOvertaken()) return outcome();
    // An end is believed at the second word; the first may be about a token just replaced.
    const ask = () => (tokens?.renew ? (tokens.renew(isPassive) ?? NOBODY) : send("GET", PASSIVE, { token }));
    let result = await ask();
    if (result.error && isTemporary(result.error) && !result.error.retryAfter) result = await ask();
    if (isOvertaken()) return outcome();
    const { error } = result;
    if (error && error.status !== 401 && error.code !== "invalid") return error;
    if (!error && ((await take(result)) || tokens?.renew)) return null;
    await (store.data ? over : leave)(told ?? "session_ended");
    return NOBODY.error;
  }

  // Verbs

  const getSession = () => look("session");

  function look(path, isTold) {
    loading[path] ??= load(path, isTold).finally(() => {
      delete loading[path];
      set({ isRefetching: false });
    });
    return loading[path];
  }

  async function load(path, isTold) {
    const at = epoch;
    hasStarted = true;
    askedAt = now();
    clearTimeout(retry);
    set({ isRefetching: !store.isPending });
    const result = await request("GET", path);
    if (at !== epoch) return store.isPending ? load(path) : known();
    let { error } = result;
    if (error?.status === 401 || (!error && !(await take(result, isTold)))) {
      error = store.data ? await recover(access(), true) : await leave();
    }
    if (!error || error.status === 401) {
      failures = 0;
      return known();
    }
    set({ error });
    if (isTemporary(error)) {
      const wait = error.retryAfter ?? Math.min(60, 2 ** failures++) * (0.5 + Math.random() / 2);
      retry = later(() => onTime(path), wait * 1000);
    }
    return known(error);
  }

  const enterBy = (path, body, sent) =>
    tabs.exclusively(async () => {
      if (refreshCookie) body.refresh_cookie = true;
      const result = await send("POST", path, { body, ...sent });
      if (result.error) return refused(result.error);
      await take(result, false, path === "sign-in");
      return known();
    });

  async function end(isOwn, ...sent) {
    const { data, error } = await request(...sent);
    if (!error && isOwn) await over("signed_out");
    return { data, error };
  }

  const auth = {
    getSession: ({ passive } = {}) => look(passive ? PASSIVE : "session"),

    async signIn(credentials) {
      await open();
      if (!byCookie && !tokens) return UNREACHABLE;
      return enterBy("sign-in", { ...credentials, transport }, { csrf: byCookie || refreshCookie });
    },

    async signOut() {
      const { error } = await end(true, "POST", "sign-out");
      return refused(error?.status === 401 ? null : error);
    },

    async listSessions(from) {
      // Only the query: tokens go nowhere else.
      const { data, error } = await request("GET", `sessions${from ? new URL(from, base).search : ""}`);
      return { data: data && { ...data, results: data.results.map(camel) }, error };
    },

    revokeSession: (id) => end(id === store.data?.session.id, "DELETE", `sessions/${encodeURIComponent(id)}`),
    revokeOtherSessions: () => end(false, "POST", "sessions/revoke", { scope: "others" }),
    revokeSessions: () => end(true, "POST", "sessions/revoke", { scope: "all" }),

    reauthenticate: ({ password }) =>
      call((token) => enterBy("reauthenticate", { password }, { token, csrf: byCookie })),

    async refresh() {
      await open();
      const error = tokens?.renew && (await recover(access()));
      return error ? known(error) : getSession();
    },

    async fetch(input, init) {
      sender ??= import("./fetch.js").then(({ createFetch }) => createFetch(inside), (error) => {
        sender = null;
        throw error;
      });
      return (await sender)(input, init);
    },
  };

  const mayEnd = (token) => (byCookie ? !isAnonymous() : token);
  const inside = {
    origin: base.origin, byCookie, header, fetcher, csrfToken, prime, ready, access, mayEnd, recover, answer,
  };

  // Time

  const later = (task, wait) =>
    signal.aborted ? 0 : setTimeout(task, Math.min(wait, 2 ** 31 - 1));
  function onTime(path) {
    const isReachable = refetchWhenOffline || globalThis.navigator?.onLine !== false;
    // By token nobody becomes signed in without this client.
    if (hasStarted && isReachable && (byCookie || !isAnonymous())) look(path);
  }
  const onSight = (path) => page?.visibilityState !== "hidden" && onTime(path);
  const onTick = () => onSight(idle && !idle.isIdle() ? "session" : PASSIVE);
  const onFocus = () => now() - askedAt >= 5000 && onSight("session");

  function plan() {
    clearTimeout(timer);
    const left = deadline - now();
    const untilWarning = left - expiringBefore * 1000;
    // The server has the last word: what was used without this page knowing lasts longer.
    timer = later(() => look(PASSIVE), untilWarning > 0 ? untilWarning : Math.max(left, 0) + 1000);
    if (untilWarning <= 0) {
      const { expiresAt } = store.data.session;
      if (warned !== expiresAt) emit("expiring", { expiresIn: Math.max(0, left / 1000), stay: auth.refresh });
      warned = expiresAt;
    }
  }

  if (refetchOnWindowFocus) {
    page?.addEventListener("visibilitychange", onFocus, { signal });
    globalThis.addEventListener?.("focus", onFocus, { signal });
  }
  globalThis.addEventListener?.("online", () => onTime(PASSIVE), { signal });
  const interval = refetchInterval && setInterval(onTick, refetchInterval * 1000);
  if (idleAfter && page) {
    import("./idle.js").then(({ watchIdle }) => {
      idle = watchIdle({ idleAfter, signal, store, emit, tell: tabs.tell, stay: auth.refresh });
    });
  }
  if (onStateChange) on("change", onStateChange);
  hasStarted = initialSession !== undefined;
  // The clock began when the page was asked for.
  if (initialSession?.session) take({ data: initialSession, asked: 0 }, true);
  else if (hasStarted) leave();

  const close = () => {
    closing.abort();
    tabs.close();
    [timer, retry, interval].forEach(clearTimeout);
  };
  return { ...auth, auth, session: store, on, close };
}

// A listener that throws stops no other.
function createEvents() {
  const target = new EventTarget();
  const on = (type, listener) => {
    const own = ({ detail }) => listener(detail);
    target.addEventListener(type, own);
    return () => target.removeEventListener(type, own);
  };
  return [on, (type, detail) => target.dispatchEvent(new CustomEvent(type, { detail }))];
}

/** As useStore() of nanostores takes them. */
function createStore(on, emit, onFirst) {
  let value = Object.freeze({ data: null, error: null, isPending: true, isRefetching: false });
  const store = {
    get: () => value,
    listen(listener) {
      const undo = on("change", listener);
      onFirst();
      return undo;
    },
    subscribe(listener) {
      listener(value);
      return store.listen(listener);
    },
  };
  Object.defineProperty(store, "value", { get: store.get });
  for (const each in value) Object.defineProperty(store, each, { get: () => value[each] });
  function set(changes) {
    if (Object.keys(changes).every((each) => value[each] === changes[each])) return;
    value = Object.freeze({ ...value, ...changes });
    emit("change", value);
  }
  return [store, set];
}

const keep = (before, after) => (JSON.stringify(before) === JSON.stringify(after) ? before : after);

/** Name members in camelCase, where that is no other's name. */
function camel(source) {
  const name = (key) => key.replace(/([^_])_([a-z0-9])/g, (_, a, b) => a + b.toUpperCase());
  const members = Object.entries(source);
  return Object.fromEntries(members.map(([key, value]) => [name(key) in source ? key : name(key), value]));
}

function answer({ ok, status, headers }, text, path) {
  const error = { code: "unexpected_answer", detail: "", status };
  try {
    const body = status === 204 ? null : JSON.parse(text);
    // Somebody else's answer must not sign anybody out.
    if (ok && /^(session|sign-in|reauthenticate)\b/.test(path) && body.session === undefined) return refused(error);
    if (ok) return { data: body, error: null };
    Object.assign(error, body, { status, retryAfter: +headers.get("Retry-After") || undefined });
  } catch {}
  return refused(error);
}

function createTabs(name, hear) {
  const key = `${name}/said`;
  const onStorage = (event) => event.key === key && event.newValue && hear(JSON.parse(event.newValue));
  let channel;
  try {
    channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }) => hear(data);
    channel.unref?.();
  } catch {
    globalThis.addEventListener?.("storage", onStorage);
  }
  return {
    tell(message) {
      try {
        if (channel) return channel.postMessage(message);
        const { type, id, reason, isNew } = message;
        if (type === "state" && !isNew) return;
        localStorage.setItem(key, JSON.stringify(isNew ? { type: "look" } : { type, id, reason }));
        localStorage.removeItem(key);
      } catch {}
    },
    exclusively(task) {
      const locks = globalThis.navigator?.locks;
      let turn;
      const run = () => (turn ??= task());
      return locks
        ? locks.request(name, { signal: AbortSignal.timeout(20000) }, run).catch(run)
        : run();
    },
    close() {
      channel?.close();
      globalThis.removeEventListener?.("storage", onStorage);
    },
  };
}
