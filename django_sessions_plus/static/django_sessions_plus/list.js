// The list of one's sessions as a store, for pages that show it and end them.

/** Make a list that is asked for from its first listener on, for whoever is signed in, and forgotten with its last. */
export function createSessionList(client) {
  const listeners = new Set();
  // Those that are about to end are not shown; an end that fails brings them back.
  const leaving = new Set();
  let state = Object.freeze({ sessions: [], error: null, isLoading: true, hasNext: false, hasPrevious: false });
  let page = null;
  let owner;
  // What was asked before this changed is not believed after it.
  let turn = 0;
  let silence;

  function publish(changes) {
    const sessions = (page?.results ?? []).filter(({ id }) => !leaving.has(id));
    state = Object.freeze({ ...state, sessions, hasNext: !!page?.next, hasPrevious: !!page?.previous, ...changes });
    for (const listener of [...listeners]) listener(state);
  }

  async function load(address = null) {
    const mine = ++turn;
    publish({ isLoading: true });
    const { data, error } = await client.listSessions(address);
    if (mine !== turn) return;
    if (data) page = data;
    publish({ isLoading: false, error });
  }

  async function end(ids, verb) {
    const mine = owner;
    ids.forEach((id) => leaving.add(id));
    publish({ error: null });
    const result = await verb();
    // Somebody else's list has none of them.
    if (mine !== owner) return result;
    const isGone = !result.error || result.error.code === "not_found";
    if (isGone && page) page = { ...page, results: page.results.filter(({ id }) => !ids.includes(id)) };
    ids.forEach((id) => leaving.delete(id));
    publish({ error: isGone ? null : result.error });
    if (page && !page.results.length && (page.next || page.previous)) load();
    return result;
  }

  function follow({ data, isPending }) {
    const id = data?.session.id ?? null;
    if (isPending || id === owner) return;
    owner = id;
    turn++;
    page = null;
    leaving.clear();
    if (id) load();
    else publish({ error: null, isLoading: false });
  }

  const list = {
    get: () => state,
    listen(listener) {
      const own = (...told) => listener(...told);
      listeners.add(own);
      if (listeners.size === 1) silence = client.session.subscribe(follow);
      return () => {
        if (!listeners.delete(own) || listeners.size) return;
        silence();
        owner = undefined;
        turn++;
      };
    },
    subscribe(listener) {
      listener(state);
      return list.listen(listener);
    },
    reload: () => load(),
    next: async () => page?.next && load(page.next),
    previous: async () => page?.previous && load(page.previous),
    revoke: (id) => end([id], () => client.revokeSession(id)),
    async revokeOthers() {
      const others = state.sessions.filter(({ isCurrent }) => !isCurrent);
      const result = await end(others.map(({ id }) => id), () => client.revokeOtherSessions());
      if (!result.error) load();
      return result;
    },
  };
  Object.defineProperty(list, "value", { get: list.get });
  return list;
}
