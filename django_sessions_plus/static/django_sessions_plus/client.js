// See docs/browser-client.md. Only tokens.js keeps tokens, where there are some.

// Milliseconds that a request may take.
const TIMEOUT = 30_000;
// No activity, so that an open page alone holds no session open.
const PASSIVE = "session?passive=true";

// Nobody can set this clock.
const now = () => performance.now();
const refused = (error) => ({ data: null, error });
const NOBODY = refused({ status: 401, code: "not_authenticated", detail: "Sign in first." });
const isTemporary = ({ status, code }) =>
  !status || status === 429 || status >= 500 || code === "session_interrupted";

export function createSessionClient({
  baseUrl = "/auth/",
  transport = "cookie",
  storage = "memory",
  refreshCookie,
  credentials,
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
  // React Native has a window and no document, a server has neither.
  const isClient = page || globalThis.window;
  const path = baseUrl.replace(/\/*$/, "/");
  const base = page ? new URL(path, page.baseURI).href : path;
  const isHome = globalThis.origin === originOf(base);
  const byCookie = transport === "cookie";
  refreshCookie ??= transport === "jwt" && storage === "memory" && isHome;
  credentials ??= !byCookie && !refreshCookie ? "omit" : isHome ? "same-origin" : "include";
  const name = `sessions-plus/${transport}/${base}`;

  const [listen, emit] = createEvents();
  const [store, set] = createStore(listen, emit, start);
  const undo = [];
  // A server's process is not one person's: only pages talk to each other.
  const joining = page && import("./tabs.js").then(({ join }) => isClosed || (tabs = join(inside)), () => {});
  const tell = async (message) => (await joining, tabs?.tell(message));
  const exclusively = async (task) => (await joining, tabs ? tabs.exclusively(task) : task());
  // What was asked before this changed is not believed after it.
  let epoch = 0;
  // When the session expires if nothing moves that.
  let deadline = Infinity;
  let failures = 0;
  let askedAt = -Infinity;
  // Why the session is over: who asks first may be the only one to be told.
  let told;
  const running = {};
  let tabs, hasStarted, isClosed, opened, recovering, watching, watcher, retry, tokens, csrfTold;

  const access = () => tokens?.access();
  const left = `${name}/left`;
  const known = (error = null) => ({ data: store.data, error });
  const isAnonymous = () => !store.isPending && !store.data;

  function know(data) {
    const { isPending } = store;
    set({ data, error: null, isPending: false });
    if (isPending) emit("initial-session", data);
  }

  /** Somebody is signed in. Tells whether that is news. */
  function enter(session, user, expires, isSignIn) {
    const { data: before, isPending } = store;
    const parts = { session: keep(before?.session, session), user: keep(before?.user, user) };
    const isNew = before?.session.id !== session.id || before.user.id !== user.id;
    if (isNew) epoch++;
    told = null;
    deadline = expires || Infinity;
    know(keep(before, parts));
    watcher?.plan();
    if (isNew && (isSignIn || !isPending)) emit("signed-in", store.data);
    return isNew;
  }

  async function leave(reason) {
    const { data } = store;
    if (reason === "session_ended" && now() >= deadline) reason = "expired";
    epoch++;
    watcher?.stop();
    const dropped = tokens?.drop();
    know(null);
    if (data && reason === "expired") emit(reason, data);
    if (data) emit("signed-out", { reason, ...data });
    await dropped;
  }

  function over(reason) {
    const id = store.data?.session.id;
    tell(id ? { type: "out", id, reason } : { type: "look" });
    return leave(reason);
  }

  /** Tells whether somebody is signed in by an answer. */
  async function take({ data: body, asked }, isTold, isSignIn) {
    const stored = tokens?.put(body ?? {}, asked);
    let isNew;
    if (body?.session) {
      const { expires_in: left, ...session } = body.session;
      isNew = enter(camel(session), camel(body.user), asked + left * 1000, isSignIn);
    }
    // Other tabs read it there.
    await stored;
    if (stored && !isSignIn) emit("token-refreshed", store.data);
    if ((stored || isNew) && !isTold) {
      const left = deadline - now();
      const held = tokens?.pack();
      if (byCookie || held) tell({ type: "state", data: store.data, left, held, isNew, isSignIn });
      else if (isSignIn) tell({ type: "look" });
    }
    return !!body?.session;
  }

  // Requests

  function csrfToken() {
    const found = page?.cookie.split("; ").find((each) => each.startsWith(`${cookie}=`))?.slice(cookie.length + 1);
    // Elsewhere the page's cookie may be another site's.
    return (isHome && found) || csrfTold || page?.querySelector(`meta[name="${meta}"]`)?.content;
  }

  const prime = () => once("GET", PASSIVE, {});

  function heed({ headers }, token) {
    csrfTold = headers.get(header) ?? csrfTold;
    const fresh = transport === "bearer" && headers.get("Session-Token");
    if (fresh && token === access()) take({ data: { token: fresh }, asked: now() });
  }

  function read(response, text, path) {
    const result = answer(response, text, path);
    told = (result.error ?? result.data?.ended)?.reason ?? told;
    return result;
  }

  function unreachable() {
    const why = isHome ? "" : " It is down, its CORS settings do not admit this page, or baseUrl is not absolute.";
    const detail = `No answer from ${base}.${why}`;
    return refused({ status: 0, code: "network_error", detail });
  }

  async function once(method, path, { body, token, csrf }) {
    const headers = {};
    if (body) headers["Content-Type"] = "application/json";
    if (token) headers.Authorization = `Bearer ${token}`;
    if (csrf) headers[header] = csrfToken() ?? "";
    const asked = now();
    const stop = globalThis.AbortController && new AbortController();
    const limit = setTimeout(() => stop?.abort(), TIMEOUT);
    try {
      const response = await fetcher(base + path, {
        method,
        headers,
        body: body && JSON.stringify(body),
        credentials,
        redirect: "error",
        signal: stop?.signal,
      });
      const text = await response.text();
      heed(response, token);
      return { ...read(response, text, path), asked };
    } catch {
      return unreachable();
    } finally {
      clearTimeout(limit);
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
    tokens = createTokens({ transport, storage, refreshCookie, isHome, isTemporary, name, send, PASSIVE });
    return tokens.load();
  }

  /** Have a token to send, or tell why not. */
  async function ready(isAsked, isPassive) {
    await open();
    if (byCookie) return null;
    if (!tokens) return unreachable().error;
    const error = tokens.isDue(isAsked || !isAnonymous()) && (await recover(access(), isPassive));
    return access() ? null : error || NOBODY.error;
  }

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
    recovering ??= import("./recover.js")
      .then(
        ({ settle }) => exclusively(() => settle(inside, token, isPassive)),
        () => unreachable().error,
      )
      .finally(() => (recovering = null));
    return recovering;
  }

  // Verbs

  const verbs = () => import("./verbs.js").catch(() => {});
  const getSession = () => look("session");

  const look = (path, isTold) =>
    single(path, () => load(path, isTold).finally(() => set({ isRefetching: false })));

  /** What is asked for twice at the same time, as by a double click, is done once. */
  function single(key, task) {
    running[key] ??= task().finally(() => delete running[key]);
    return running[key];
  }

  function start(isAsking) {
    if (isClosed) return;
    const isFirst = !hasStarted;
    hasStarted = true;
    watching ??= import("./watch.js").then(
      ({ watch }) => isClosed || (watcher = watch(inside)),
      () => (watching = null),
    );
    if (isFirst && store.isPending && !isAsking) getSession();
  }

  async function load(path, isTold) {
    const at = epoch;
    start(true);
    askedAt = now();
    clearTimeout(retry);
    set({ isRefetching: !store.isPending });
    const result = await request("GET", path);
    if (at !== epoch) return store.isPending ? load(path) : known();
    // The other tabs find out for themselves: told of it, each would tell all others again.
    if (isLeft(result.data?.session)) return auth.signOut({ local: true, isTold: true });
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

  /** Tells whether the server has still to be told of a sign-out. */
  function isLeft(session) {
    try {
      return localStorage.getItem(left) === `${session.id} ${session.authenticated_at}`;
    } catch {
      return false;
    }
  }

  const enterBy = (path, body, sent) =>
    exclusively(async () => {
      if (refreshCookie) body.refresh_cookie = true;
      const result = await send("POST", path, { body, ...sent });
      if (result.error) return refused(result.error);
      start(true);
      await take(result, false, path === "sign-in");
      return known();
    });

  const auth = {
    getSession: ({ passive } = {}) => look(passive ? PASSIVE : "session"),

    signIn: (credentials) =>
      single(JSON.stringify(credentials), async () => {
        await open();
        if (!byCookie && !tokens) return unreachable();
        return enterBy("sign-in", { ...credentials, transport }, { csrf: byCookie || refreshCookie });
      }),

    signOut: loaded("signOut"),
    listSessions: loaded("listSessions"),
    revokeSession: loaded("revokeSession"),
    revokeOtherSessions: loaded("revokeOtherSessions"),
    revokeSessions: loaded("revokeSessions"),
    reauthenticate: loaded("reauthenticate"),

    async refresh() {
      await open();
      const error = tokens?.renew && (await recover(access()));
      return error ? known(error) : getSession();
    },

    accessToken: async () => (await ready(true), access() ?? null),

    fetch: async (input, init) => (await import("./fetch.js")).send(inside, input, init),
  };

  function loaded(verb) {
    return async (given) => (await verbs())?.[verb](inside, given) ?? unreachable();
  }

  // Whoever gives a signal can give up waiting; fetch has its own way.
  for (const verb in auth) {
    const run = auth[verb];
    auth[verb] = async (...given) => {
      const signal = verb !== "fetch" && given[given.length - 1]?.signal;
      const part = signal && (await verbs());
      return part ? part.until(signal, () => run(...given), verb) : run(...given);
    };
  }

  const mayEnd = (token) => (byCookie ? !isAnonymous() : token);
  // What the other parts of the client are given.
  const inside = {
    name, left, page, origin: originOf(base), byCookie, refreshCookie, header, credentials, fetcher, csrfToken, prime, open, ready, access, mayEnd,
    recover, heed, read, store, emit, undo, request, call, send, take, enter, over, leave, single, enterBy, camel, look, tell,
    later, onTime, isAnonymous, isTemporary, NOBODY, PASSIVE, refetchInterval, refetchOnWindowFocus, expiringBefore, idleAfter,
    stay: () => auth.refresh(),
    tokens: () => tokens,
    watcher: () => watcher,
    epoch: () => epoch,
    outdate: () => epoch++,
    told: () => told,
    hasStarted: () => hasStarted,
    isClosed: () => isClosed,
    askedAt: () => askedAt,
    rest: () => deadline - now(),
  };

  // Time

  function later(task, wait) {
    return isClosed ? 0 : setTimeout(task, Math.min(wait, 2 ** 31 - 1));
  }
  function onTime(path) {
    const isReachable = refetchWhenOffline || globalThis.navigator?.onLine !== false;
    // By token nobody becomes signed in without this client.
    if (hasStarted && isReachable && (byCookie || !isAnonymous())) look(path);
  }
  function on(type, listener) {
    const silence = listen(type, listener);
    if (!store.isPending && type === "initial-session") queueMicrotask(() => listener(store.data));
    if (isClient) later(start, 0);
    return silence;
  }

  // The clock began when the page was asked for.
  if (page && isLeft(initialSession?.session)) initialSession = undefined;
  if (initialSession?.session) take({ data: initialSession, asked: 0 }, true);
  else if (initialSession !== undefined) leave();
  if (onStateChange) on("change", onStateChange);
  if (isClient && initialSession !== undefined) start();

  const close = () => {
    isClosed = true;
    undo.forEach((each) => each());
    watcher?.stop();
    clearTimeout(retry);
  };
  return { ...auth, auth, session: store, $session: store, on, close };
}

const originOf = (address) => /^https?:\/\/[^/]+/i.exec(address)?.[0].toLowerCase() ?? "";

// A listener that throws stops no other. React Native has no EventTarget.
function createEvents() {
  const listeners = new Set();
  const listen = (type, listener) => {
    const own = { type, listener };
    listeners.add(own);
    return () => void listeners.delete(own);
  };
  const emit = (type, detail) => {
    for (const each of [...listeners]) {
      if (each.type !== type || !listeners.has(each)) continue;
      try {
        each.listener(detail);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  };
  return [listen, emit];
}

/** As useStore() of nanostores takes them. */
function createStore(listenTo, emit, onFirst) {
  let value = Object.freeze({ data: null, error: null, isPending: true, isRefetching: false });
  const store = {
    get: () => value,
    listen(listener) {
      const undo = listenTo("change", listener);
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
  const error = { code: "unexpected_answer" };
  try {
    const body = status === 204 ? null : JSON.parse(text);
    // Somebody else's answer must not sign anybody out.
    if (ok && !(/^(session|sign-in|reauthenticate)\b/.test(path) && body.session === undefined)) {
      return { data: body, error: null };
    }
    if (!ok) Object.assign(error, body, { retryAfter: +headers.get("Retry-After") || undefined });
  } catch {}
  error.status = status;
  error.detail ||= `The server's answer (HTTP ${status}) is not one of the API.`;
  return refused(error);
}
