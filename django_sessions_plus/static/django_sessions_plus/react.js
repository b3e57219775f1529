"use client";
// React's view of a session client. React is the page's own: by an import map, or by a bundler.

import { createContext, createElement, useContext, useMemo, useSyncExternalStore } from "react";

import { createSessionList } from "./list.js";

const Context = createContext(null);

export function SessionProvider({ client, children }) {
  return createElement(Context.Provider, { value: client }, children);
}

function useClient() {
  const client = useContext(Context);
  if (!client) throw new Error("There is no SessionProvider around this component.");
  return client;
}

/** What is known of the session; renders again when any of it changes. */
export function useSession() {
  const { session } = useClient();
  return useSyncExternalStore(session.listen, session.get, session.get);
}

/** Who is signed in, and the verbs; renders again when that changes, not while it is asked for. */
export function useAuth() {
  const client = useClient();
  const { listen } = client.session;
  const part = (name) => () => client.session.get()[name];
  const data = useSyncExternalStore(listen, part("data"), part("data"));
  const isLoading = useSyncExternalStore(listen, part("isPending"), part("isPending"));
  const error = useSyncExternalStore(listen, part("error"), part("error"));
  return useMemo(
    () => ({
      ...client.auth,
      user: data?.user ?? null,
      session: data?.session ?? null,
      isSignedIn: Boolean(data),
      isLoading,
      error,
    }),
    [client, data, isLoading, error],
  );
}

/** One's sessions, page by page, and what ends them; asked for while the component is there. */
export function useSessions() {
  const client = useClient();
  const { get, listen, value, subscribe, ...verbs } = useMemo(() => createSessionList(client), [client]);
  const state = useSyncExternalStore(listen, get, get);
  return { ...state, ...verbs };
}
