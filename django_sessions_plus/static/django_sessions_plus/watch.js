// What a client asks by itself: before the expiry, when the person comes back, in an interval. Loaded when it begins to ask.

const now = () => performance.now();

export function watch(inside) {
  const { page, store, emit, look, later, onTime, undo, rest, askedAt, stay, tell, PASSIVE } = inside;
  const { refetchInterval, refetchOnWindowFocus, expiringBefore, idleAfter } = inside;
  let seenAt = -Infinity;
  let timer, deferred, warned, idle;

  const onSight = (path) => page?.visibilityState !== "hidden" && onTime(path);
  const onTick = () => onSight(idle && !idle.isIdle() ? "session" : PASSIVE);

  /** Look when the person comes back: at once, or as soon as the last look is five seconds old. */
  function onFocus() {
    // A change of tabs is told by two events.
    if (now() - seenAt < 100) return;
    seenAt = now();
    clearTimeout(deferred);
    const wait = askedAt() + 5000 - now();
    if (wait > 0) deferred = later(() => onSight("session"), wait);
    else onSight("session");
  }

  function plan() {
    clearTimeout(timer);
    // Whoever is signed in may want to sign out where there is no network.
    import("./verbs.js").catch(() => {});
    const untilWarning = rest() - expiringBefore * 1000;
    // The server has the last word: what was used without this page knowing lasts longer.
    timer = later(() => look(PASSIVE), untilWarning > 0 ? untilWarning : Math.max(rest(), 0) + 1000);
    if (untilWarning <= 0) {
      const { expiresAt } = store.data.session;
      if (warned !== expiresAt) emit("expiring", { expiresIn: Math.max(0, rest() / 1000), stay });
      warned = expiresAt;
    }
  }

  function listenTo(target, type, listener, options) {
    target?.addEventListener?.(type, listener, options);
    undo.push(() => target?.removeEventListener?.(type, listener, options));
  }

  if (refetchOnWindowFocus) {
    listenTo(page, "visibilitychange", onFocus);
    listenTo(globalThis, "focus", onFocus);
  }
  listenTo(globalThis, "online", () => onTime(PASSIVE));
  const interval = refetchInterval && setInterval(onTick, refetchInterval * 1000);
  undo.push(() => [timer, deferred, interval].forEach(clearTimeout));
  if (store.data) plan();
  if (idleAfter && page) {
    import("./idle.js").then(
      ({ watchIdle }) => inside.isClosed() || (idle = watchIdle({ idleAfter, listenTo, undo, store, emit, tell, stay })),
      // Without that part nobody is idle.
      () => {},
    );
  }
  return { plan, stop: () => clearTimeout(timer), used: () => idle?.used() };
}
